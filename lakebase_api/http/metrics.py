"""The operation that tells the metrics of all workers."""

from collections.abc import Callable

from flask import Blueprint, Flask, Response

from lakebase_api.access.rights import Duty, Rights
from lakebase_api.http.authorization import build_admit
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation
from lakebase_api.http.resource import serve_operations
from lakebase_api.http.validation import refuse_query
from lakebase_api.telemetry.exposition import CONTENT_TYPE

TEXT = """Tell the metrics of all workers, for Prometheus.

Counts are of the whole server since it started, whichever worker answers. No label has a key of a row, a
caller or a raw path. No SQL is sent.
"""
EXAMPLE = 'requests_rejected_total{problem="not-found"} 3.0\n'


def register_metrics(app: Flask, document: Document, rights: Rights, write: Callable[[], bytes]) -> None:
    """Serve ``/metrics``, with what ``write`` gives."""

    def get_metrics() -> Response:
        refuse_query()
        response = Response(write(), content_type=CONTENT_TYPE)
        response.headers["Cache-Control"] = "no-store"
        return response

    operation = Operation(
        "GET",
        "/metrics",
        "get_metrics",
        get_metrics,
        TEXT,
        needs=Duty.OBSERVE,
        media_types={"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
        problems=(422, 500, 503),
    )
    metrics = Blueprint("metrics", __name__)
    serve_operations(metrics, [operation], build_admit(rights))
    app.register_blueprint(metrics)
    document.add_part(metrics.name, "How the service is doing.", [operation])
