"""The routes of an app, by their endpoints, as those who count requests call them."""

import re
from collections.abc import Collection, Mapping

from flask import Flask

from lakebase_api.http.quota import FREE
from lakebase_api.telemetry.observation import Route

PARAMETER = re.compile(r"<(?:[^<>]*:)?([^<>:]+)>")


def find_routes(app: Flask, tables: Collection[str]) -> Mapping[str, Route]:
    """The routes of all endpoints; ``tables`` are the names of blueprints that are of a table."""
    return {rule.endpoint: _describe(rule.rule, rule.endpoint, tables) for rule in app.url_map.iter_rules()}


def _describe(rule: str, endpoint: str, tables: Collection[str]) -> Route:
    blueprint, _, operation = endpoint.partition(".")
    # As flask-smorest spells paths in the document.
    path = PARAMETER.sub(r"{\1}", rule)
    return Route(path, operation, blueprint if blueprint in tables else None, blueprint in FREE)
