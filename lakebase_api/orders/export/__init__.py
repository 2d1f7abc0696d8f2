"""All orders at once, in chunks."""
