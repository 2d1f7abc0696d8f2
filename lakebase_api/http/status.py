"""How the service is doing: the page for people, and its data."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response

from lakebase_api import __version__
from lakebase_api.access.rights import Duty, Rights
from lakebase_api.http.authorization import build_admit
from lakebase_api.http.fingerprints import Fingerprints
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation
from lakebase_api.http.pages import answer_page
from lakebase_api.http.resource import serve_operations
from lakebase_api.http.status_schemas import ServerStatusSchema
from lakebase_api.http.validation import refuse_query
from lakebase_api.telemetry.server_report import describe_server

# Paths that do not count among the requests which the page shows: it asks for its data every two seconds,
# and probes are asked for as often.
LEFT_OUT = ("/status", "/status.json", "/pages/{filename}", "/metrics", "/health", "/livez", "/readyz")

TEXT = """Say how the service is doing: its workers, connections, token, requests and problems.

What all workers of this server know of the last 15 minutes, in parts of 15 seconds, the oldest first.
Durations are in seconds, and no SQL is sent. `/status` shows it to people. Requests for the status itself,
for metrics and for probes do not count.
"""


def register_status(
    app: Flask,
    document: Document,
    rights: Rights,
    name: str,
    ask_all: Callable[[], Sequence[Mapping[str, Any]]],
    fingerprints: Fingerprints,
    *,
    reads_credentials: bool,
) -> None:
    """Serve ``/status`` and ``/status.json``.

    ``ask_all`` gives what each worker says of itself. ``reads_credentials``: callers may say by a key or
    token who they are, so that the page asks for one.
    """
    status = Blueprint("status", __name__, template_folder="templates")

    @status.get("/status")
    def show_status() -> Response:
        """The page, which has no data. Whoever leads here may add parameters of their own."""
        return answer_page("status.html", name=name, reads_credentials=reads_credentials)

    def get_status() -> Response:
        refuse_query()
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {"at": at, "version": __version__, "fingerprints": fingerprints.all}
        response = answer_json({**known, **describe_server(ask_all())})
        response.headers["Cache-Control"] = "no-store"
        return response

    operation = Operation(
        "GET",
        "/status.json",
        "get_status",
        get_status,
        TEXT,
        needs=Duty.OBSERVE,
        answer=lambda: ServerStatusSchema,
        problems=(422, 500, 503),
    )
    serve_operations(status, [operation], build_admit(rights))
    app.register_blueprint(status)
    document.add_part(status.name, "How the service is doing.", [operation])
