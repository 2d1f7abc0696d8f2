"""Health probes: answered from what is already known, never by asking the database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response
from marshmallow import Schema, fields

from lakebase_api.access.rights import Audience
from lakebase_api.http.authorization import Admit
from lakebase_api.http.fingerprints import Fingerprints, FingerprintsSchema
from lakebase_api.http.json_response import JSON, answer_json
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation, View
from lakebase_api.http.resource import serve_operations
from lakebase_api.http.validation import refuse_query

# Says why a part of the service is not ready, or ``None`` when it is.
Check = Callable[[], str | None]
Tell = Callable[[], Mapping[str, str | None]]

PROBLEMS = (422, 500)

READINESS_TEXT = """Say whether requests can be served, from what is known.

A database that sleeps is ready; one that refused the last connect is not. Nor is the service where
requests of all its tables are refused. No SQL is sent.
"""


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
    fingerprints = fields.Nested(
        FingerprintsSchema, metadata={"description": "With `?verbose`: what must be the same on every host."}
    )


def register_probes(
    app: Flask,
    document: Document,
    admit: Admit,
    deciding: Mapping[str, Check],
    tell: Tell,
    fingerprints: Fingerprints,
) -> None:
    """Serve the probes.

    ``deciding`` are the parts of readiness by name; ``tell`` gives those that are only shown. None may block.
    """
    probes = Blueprint("probes", __name__)
    operations = list_probes(deciding, tell, fingerprints)
    serve_operations(probes, operations, admit)
    app.register_blueprint(probes)
    document.add_part(probes.name, "Whether the service is up and ready.", operations)


def list_probes(deciding: Mapping[str, Check], tell: Tell, fingerprints: Fingerprints) -> list[Operation]:
    """The operations, in the order of the document."""

    def get_readiness(query: Mapping[str, str]) -> Response:
        parts = {name: check() or "ok" for name, check in deciding.items()}
        ready = all(part == "ok" for part in parts.values())
        body: dict[str, Any] = {"status": "ready" if ready else "not ready"}
        if "verbose" in query:
            body["parts"] = parts | {name: said or "ok" for name, said in tell().items()}
            body["fingerprints"] = fingerprints.all
        return _answer(body, 200 if ready else 503)

    def describe(path: str, view: View, text: str, answer: type[Schema], **more: Any) -> Operation:
        more |= {"needs": Audience.EVERYBODY, "answer": lambda: answer, "problems": PROBLEMS}
        return Operation("GET", path, view.__name__, view, text, **more)

    not_ready = {"description": "Not ready.", "content": {JSON: {"schema": ReadinessSchema}}}
    readiness: dict[str, Any] = {"query": VerboseQuerySchema, "others": {503: not_ready}}
    return [
        describe("/health", get_health, "Say that the service is up, and its time.", HealthSchema),
        describe("/livez", get_liveness, "Say that the process is up.", LiveSchema),
        describe("/readyz", get_readiness, READINESS_TEXT, ReadinessSchema, **readiness),
    ]


def get_health() -> Response:
    """That the service is up, and its time."""
    refuse_query()
    return _answer({"status": "healthy", "timestamp": datetime.now(UTC).isoformat(timespec="microseconds")})


def get_liveness() -> Response:
    """That the process is up."""
    refuse_query()
    return _answer({"status": "alive"})


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    response = answer_json(body, status)
    response.headers["Cache-Control"] = "no-store"
    return response
