"""A REST API in front of Databricks Lakebase."""

__version__ = "0.1.0"
