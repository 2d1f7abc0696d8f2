"""Health probes: answered from what is already known, never by asking the database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app
from marshmallow import Schema, fields

from lakebase_api.http.documentation import HEADERS, DocumentedApi, describe_operation
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.validation import Blueprint, refuse_query

# Says why a part of the service is not ready, or ``None`` when it is.
Check = Callable[[], str | None]
Tell = Callable[[], Mapping[str, str | None]]

probes = Blueprint("probes", __name__, description="Whether the service is up and ready.")


class VerboseQuerySchema(Schema):
    verbose = fields.String(metadata={"description": "List each part: `?verbose`."})


class HealthSchema(Schema):
    status = fields.String(required=True, metadata={"example": "healthy"})
    timestamp = fields.DateTime(required=True, metadata={"example": "2026-11-22T10:00:00+00:00"})


class LiveSchema(Schema):
    status = fields.String(required=True, metadata={"example": "alive"})


class ReadinessSchema(Schema):
    status = fields.String(required=True, metadata={"enum": ["ready", "not ready"]})
    parts = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={
            "description": "With `?verbose`: each part, `ok` or what is wrong.",
            "example": {"token": "ok"},
        },
    )


def register_probes(app: Flask, api: DocumentedApi, deciding: Mapping[str, Check], tell: Tell) -> None:
    """Serve the probes.

    ``deciding`` are the parts of readiness by name; ``tell`` gives those that are only shown. None may block.
    """
    app.extensions["readiness"] = (deciding, tell)
    api.register_blueprint(probes)


@probes.route("/health")
@probes.response(200, HealthSchema, headers=HEADERS)
@probes.doc(**describe_operation("get_health", 422, 500))
def get_health() -> Response:
    """Say that the service is up, and its time."""
    refuse_query()
    return _answer({"status": "healthy", "timestamp": datetime.now(UTC).isoformat(timespec="microseconds")})


@probes.route("/livez")
@probes.response(200, LiveSchema, headers=HEADERS)
@probes.doc(**describe_operation("get_liveness", 422, 500))
def get_liveness() -> Response:
    """Say that the process is up."""
    refuse_query()
    return _answer({"status": "alive"})


@probes.route("/readyz")
@probes.arguments(VerboseQuerySchema, location="query")
@probes.response(200, ReadinessSchema, headers=HEADERS)
@probes.alt_response(503, schema=ReadinessSchema, description="Not ready.")
@probes.doc(**describe_operation("get_readiness", 422, 500))
def get_readiness(query: dict[str, str]) -> Response:
    """Say whether requests can be served, from what is known.

    A database that sleeps is ready; one that refused the last connect is not. Nor is the service where
    requests of all its tables are refused. No SQL is sent.
    """
    deciding, tell = current_app.extensions["readiness"]
    parts = {name: check() or "ok" for name, check in deciding.items()}
    ready = all(part == "ok" for part in parts.values())
    body: dict[str, Any] = {"status": "ready" if ready else "not ready"}
    if "verbose" in query:
        body["parts"] = parts | {name: said or "ok" for name, said in tell().items()}
    return _answer(body, 200 if ready else 503)


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    response = answer_json(body, status)
    response.headers["Cache-Control"] = "no-store"
    return response
