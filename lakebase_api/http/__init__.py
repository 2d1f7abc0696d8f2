"""The HTTP operations of a declared table."""
