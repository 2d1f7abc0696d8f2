"""What every exchange carries: its request id, its timing, and its one line in the log."""

import logging
import re
import time
import uuid
from urllib.parse import quote

from flask import Flask, Response, g, request

from lakebase_api.web.traffic import Traffic

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def register_exchange(app: Flask, traffic: Traffic) -> None:
    """Give every response of the app its id and timing headers, log it and count it."""

    def finish(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        headers["X-Process-Time"] = f"{seconds:.6f}"
        headers["Server-Timing"] = f"db;dur={g.db_seconds * 1000:.1f}, total;dur={seconds * 1000:.1f}"
        headers["X-Content-Type-Options"] = "nosniff"
        traffic.count(response.status_code)
        _log(response.status_code, seconds)
        return response

    app.before_request(_begin)
    app.after_request(finish)


def _begin() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    g.started = time.perf_counter()
    g.db_seconds = 0.0
    g.wait_seconds = 0.0


def record_database_time(wait_seconds: float, db_seconds: float) -> None:
    """Add one use of a connection to the timing of the current request."""
    g.wait_seconds += wait_seconds
    g.db_seconds += db_seconds


def _log(status: int, seconds: float) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    path = quote(request.root_path + request.path)
    logger.info(
        "Request: %s %s - %.1fms status=%d db=%.1fms wait=%.1fms",
        request.method,
        path,
        seconds * 1000,
        status,
        g.db_seconds * 1000,
        g.wait_seconds * 1000,
    )
