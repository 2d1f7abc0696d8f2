"""What every exchange carries: its request id, its deadline, its timing, and its one line in the log."""

import logging
import math
import random
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response, g, request

from lakebase_api.access.caller import ANONYMOUS, Caller, name_flow
from lakebase_api.access.rate_limit import Standing
from lakebase_api.http.traffic import Traffic
from lakebase_api.http.validation import refuse
from lakebase_api.sql.predicates import EVERYTHING, Predicates

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Rows that cost as much as a request.
ROWS_OF_UNIT = 100
TIMEOUT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass
class Exchange:
    """One request and its answer. Times are of ``time.monotonic()``, in seconds."""

    request_id: str
    started: float
    deadline: float
    environ: WSGIEnvironment
    caller: Caller = ANONYMOUS
    # What of a table's rows the caller has.
    within: Predicates = EVERYTHING
    # Seconds that the caller gives it.
    patience: float = math.inf
    waited: float = 0.0
    held: float = 0.0
    # What the answer takes of the caller's quota beyond what any request takes.
    cost: float = 0.0
    # Where the caller has a quota: what takes so much of it, and how much is left.
    charge: Callable[[float], Standing] | None = None
    standing: Standing | None = None

    @property
    def flow(self) -> str:
        """Whose connections and quota it takes."""
        return name_flow(self.caller, self.environ.get("REMOTE_ADDR", ""))

    def charge_rows(self, rows: int) -> None:
        """Take what so many rows cost from the caller's quota, after the answer has begun."""
        if self.charge:
            self.charge(rows / ROWS_OF_UNIT)

    def record_use(self, waited: float, held: float) -> None:
        """Note one use of a connection: the seconds waited for it and the seconds it was held."""
        self.waited += waited
        self.held += held

    def deadline_within(self, longest: float) -> float:
        """The deadline of what may take so many seconds, in place of those of other requests."""
        return self.started + min(longest, self.patience)


def new_id() -> str:
    """A new UUID. It is to be unlike others, not hard to guess: the system need not be asked for it."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def current_exchange() -> Exchange:
    """The exchange of the current request."""
    exchange: Exchange = g.exchange
    return exchange


def register_exchange(app: Flask, traffic: Traffic, longest: float) -> None:
    """Give every response of the app its id and timing headers, log it and count it.

    A request has ``longest`` seconds, or what its ``X-Request-Timeout`` says if that is less.
    """

    def begin() -> None:
        started = time.monotonic()
        environ = request.environ
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else new_id()
        exchange = g.exchange = Exchange(request_id, started, started + longest, environ)
        if timeout := environ.get("HTTP_X_REQUEST_TIMEOUT"):
            exchange.patience = _parse_timeout(timeout)
            exchange.deadline = exchange.deadline_within(longest)

    def finish(response: Response) -> Response:
        exchange = current_exchange()
        seconds = time.monotonic() - exchange.started
        # Nobody else sets these, and to add is half the work of to set.
        add = response.headers.add
        add("X-Request-Id", exchange.request_id)
        add("X-Process-Time", f"{seconds:.6f}")
        add("Server-Timing", f"db;dur={exchange.held * 1000:.1f}, total;dur={seconds * 1000:.1f}")
        add("X-Content-Type-Options", "nosniff")
        if (
            exchange.environ["REQUEST_METHOD"] == "HEAD"
            and response.headers.get("Cache-Control") == "no-store"
        ):
            # What is not to be stored is another each time it is asked for, and of another length.
            # https://www.rfc-editor.org/rfc/rfc9110#section-8.6
            response.headers.pop("Content-Length", None)
            response.response = iter(())  # not of no bytes, but of a body that is not known
        traffic.count(response.status_code)
        _log(exchange, response.status_code, seconds)
        return response

    app.before_request(begin)
    app.after_request(finish)


def _parse_timeout(text: str) -> float:
    if not TIMEOUT.fullmatch(text) or float(text) <= 0:
        detail = "Must be a number of seconds above 0."
        refuse([{"in": "header", "name": "X-Request-Timeout", "detail": detail}])
    return float(text)


def _log(exchange: Exchange, status: int, seconds: float) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    logger.info(
        "Request: %s %s - %.1fms status=%d db=%.1fms wait=%.1fms",
        exchange.environ["REQUEST_METHOD"],
        # WSGI has the bytes of a path as characters.
        quote(f"{exchange.environ['SCRIPT_NAME']}{exchange.environ['PATH_INFO']}".encode("latin-1")),
        seconds * 1000,
        status,
        exchange.held * 1000,
        exchange.waited * 1000,
    )
