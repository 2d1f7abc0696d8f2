"""The status of orders: changing it, and its history."""
