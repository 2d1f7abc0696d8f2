"""Apps on which throw-away views are tried that need no database."""

from flask import Flask

from tests.conftest import make_app

NOWHERE = {"PGHOST": "127.0.0.1", "PGUSER": "nobody", "PGPASSWORD": "of-nowhere", "PGPORT": "9"}


def build_app(**settings: str) -> Flask:
    """The whole app, not connected to anything."""
    return make_app({**NOWHERE, **settings})
