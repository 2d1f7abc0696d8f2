"""What every exchange carries: its request id, its deadline, its timing, and its one line in the log."""

import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response, g, request

from lakebase_api.access.caller import ANONYMOUS, Caller, name_flow
from lakebase_api.access.rate_limit import Standing
from lakebase_api.http.validation import refuse
from lakebase_api.lakebase.connection import PRIMARY
from lakebase_api.sql.predicates import EVERYTHING, Predicates
from lakebase_api.telemetry.observation import NO_ROUTE, ExportObservation, Observation, Observer, Route
from lakebase_api.telemetry.trace_context import TraceContext, new_id, read_traceparent

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Rows that cost as much as a request.
ROWS_OF_UNIT = 100
TIMEOUT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
# https://www.rfc-editor.org/rfc/rfc9110#section-9 and RFC 5789. Others are whatever a client makes up.
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


@dataclass
class Exchange:
    """One request and its answer. Times are of ``time.monotonic()``, in seconds."""

    request_id: str
    trace: TraceContext
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
    # When a connection was first held.
    held_from: float | None = None
    # How far a replica must be that answers it, if one may; and which server answered, where there are two.
    reads_after: str | None = None
    server: str = ""
    # How far a replica must be that shows what the request changed.
    committed: str | None = None
    # Rows of the answer, and what it takes of the caller's quota beyond those and what any request takes.
    rows: int = 0
    cost: float = 0.0
    # The state of the database that the answer was read in, if that is known, and a time of
    # ``time.monotonic()`` from which on it may be wrong even in that state.
    state: str | None = None
    good_until: float = math.inf
    # The last part of the type of the problem that is the answer.
    problem: str | None = None
    # Seconds that it took until the head of the answer was sent.
    answered_after: float | None = None
    route: Route = NO_ROUTE
    # Where the caller has a quota: what takes so much of it, and how much is left.
    charge: Callable[[float], Standing] | None = None
    standing: Standing | None = None

    @property
    def flow(self) -> str:
        """Whose connections and quota it takes."""
        return name_flow(self.caller, self.environ.get("REMOTE_ADDR", ""))

    @property
    def operation(self) -> str:
        """The operationId."""
        return self.route.operation

    @property
    def may_be_behind(self) -> bool:
        """Whether the answer may be a replica's, which shows what was a moment ago."""
        return self.reads_after is not None and self.server != PRIMARY

    @property
    def full_cost(self) -> float:
        """What the answer takes of the caller's quota beyond what any request takes."""
        # One row is what any request takes.
        return self.cost + (self.rows / ROWS_OF_UNIT if self.rows > 1 else 0.0)

    def charge_rows(self, rows: int) -> None:
        """Take what so many rows cost from the caller's quota, after the answer has begun."""
        if self.charge:
            self.charge(rows / ROWS_OF_UNIT)

    def record_use(self, waited: float, held: float) -> None:
        """Note one use of a connection: the seconds waited for it and the seconds it was held."""
        self.waited += waited
        self.held += held
        if self.held_from is None and held:
            self.held_from = time.monotonic() - held

    def note_server(self, server: str) -> None:
        """Note which server answered."""
        self.server = server

    def note_commit(self, position: str) -> None:
        """Note how far in the write-ahead log a replica must be that shows the change just made."""
        self.committed = position

    def deadline_within(self, longest: float) -> float:
        """The deadline of what may take so many seconds, in place of those of other requests."""
        return self.started + min(longest, self.patience)


def current_exchange() -> Exchange:
    """The exchange of the current request."""
    exchange: Exchange = g.exchange
    return exchange


class Observing:
    """Tells all observers of an app's requests. ``routes`` are by endpoint, and may be filled in later."""

    def __init__(self, observers: Sequence[Observer], routes: Mapping[str, Route]) -> None:
        self._observers = observers
        self._routes = routes

    def begin(self, exchange: Exchange) -> None:
        """Tell them that a request has begun."""
        exchange.route = self._routes.get(request.endpoint or "", NO_ROUTE)
        for observer in self._observers:
            observer.begin()

    def finish(self, exchange: Exchange, response: Response, seconds: float) -> None:
        """Tell them that it was answered."""
        exchange.answered_after = seconds
        method = exchange.environ["REQUEST_METHOD"]
        observation = Observation(
            exchange.route,
            method if method in METHODS else "_OTHER",
            response.status_code,
            seconds,
            exchange.waited,
            exchange.held,
            exchange.rows,
            # One that is made while it is sent is not to be used up here.
            sum(map(len, response.response)) if response.is_sequence else 0,
            exchange.caller.subject,
            exchange.problem,
            exchange.request_id,
            exchange.trace,
            0.0 if exchange.held_from is None else exchange.held_from - exchange.started,
            1.0 + exchange.full_cost,
        )
        for observer in self._observers:
            observer.observe(observation)

    def finish_export(self, exchange: Exchange, outcome: str, rows: int, size: int) -> None:
        """Tell them that an export has ended. May be called from any thread."""
        seconds = time.monotonic() - exchange.started
        route, subject, request_id = exchange.route, exchange.caller.subject, exchange.request_id
        head = exchange.answered_after
        after_head = 0.0 if head is None else seconds - head
        cost = rows / ROWS_OF_UNIT
        export = ExportObservation(route, subject, outcome, rows, size, seconds, request_id, after_head, cost)
        for observer in self._observers:
            observer.observe_export(export)


def register_exchange(app: Flask, observing: Observing, longest: float) -> None:
    """Give every response of the app its id and timing headers, log it and tell observers of it.

    A request has ``longest`` seconds, or what its ``X-Request-Timeout`` says if that is less.
    """

    def begin() -> None:
        started = time.monotonic()
        environ = request.environ
        traceparent = environ.get("HTTP_TRACEPARENT")
        trace = (traceparent and read_traceparent(traceparent)) or TraceContext(new_id())
        given = environ.get("HTTP_X_REQUEST_ID")
        # One id for both, unless the caller has two.
        request_id = given if given and REQUEST_ID.fullmatch(given) else trace.trace_id
        exchange = g.exchange = Exchange(request_id, trace, started, started + longest, environ)
        observing.begin(exchange)
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
        server = f";desc={exchange.server}" if exchange.server else ""
        add("Server-Timing", f"db;dur={exchange.held * 1000:.1f}{server}, total;dur={seconds * 1000:.1f}")
        add("X-Content-Type-Options", "nosniff")
        if (
            exchange.environ["REQUEST_METHOD"] == "HEAD"
            and response.headers.get("Cache-Control") == "no-store"
        ):
            # What is not to be stored is another each time it is asked for, and of another length.
            # https://www.rfc-editor.org/rfc/rfc9110#section-8.6
            response.headers.pop("Content-Length", None)
            response.response = iter(())  # not of no bytes, but of a body that is not known
        observing.finish(exchange, response, seconds)
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
    trace = exchange.trace
    is_other = trace.parent_id is not None and trace.trace_id != exchange.request_id
    logger.info(
        "Request: %s %s - %.1fms status=%d db=%.1fms wait=%.1fms%s",
        exchange.environ["REQUEST_METHOD"],
        # WSGI has the bytes of a path as characters.
        quote(f"{exchange.environ['SCRIPT_NAME']}{exchange.environ['PATH_INFO']}".encode("latin-1")),
        seconds * 1000,
        status,
        exchange.held * 1000,
        exchange.waited * 1000,
        f" trace={trace.trace_id}" if is_other else "",
    )
