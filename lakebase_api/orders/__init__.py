"""The orders resource: its routes, schemas and queries."""
