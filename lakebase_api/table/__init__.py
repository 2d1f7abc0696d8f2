"""The declared tables: what is served, of which columns and types, and who may change what."""
