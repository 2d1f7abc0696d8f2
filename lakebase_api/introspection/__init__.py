"""Writes the declaration of tables from what the database has, and compares the two."""
