"""Clients of real generators, made from the document and run against the service: `make clients`."""
