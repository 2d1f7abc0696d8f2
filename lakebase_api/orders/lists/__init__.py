"""Lists of orders: filtered, sorted, page by page."""
