"""Apps on which throw-away views are tried that need no database."""

from flask import Flask

from lakebase_api.app import create_app
from lakebase_api.environment import load_settings

NOWHERE = {"PGHOST": "127.0.0.1", "PGUSER": "nobody", "PGPASSWORD": "none", "PGPORT": "9"}


def build_app(**settings: str) -> Flask:
    """The whole app, not connected to anything."""
    return create_app(load_settings({**NOWHERE, **settings}))
