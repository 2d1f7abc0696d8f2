"""Answers reads of a table from memory, when the database says that nothing has changed since.

What it tells of that is RFC 9211: https://www.rfc-editor.org/rfc/rfc9211, and what it heeds RFC 9111:
https://www.rfc-editor.org/rfc/rfc9111
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar

from flask import Response, request
from werkzeug.datastructures import Headers

from lakebase_api.cache.answers import Answer, Answers, Use
from lakebase_api.cache.flights import Failed, Flight, Flights
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.cache_directives import ALL_ALLOWED, Directives, read_directives
from lakebase_api.http.list_answers import FORMS, WHAT_IS_ASKED
from lakebase_api.http.negotiation import VARY, negotiate
from lakebase_api.http.operation import Keeping, Operation
from lakebase_api.http.problems import Problem
from lakebase_api.http.request_context import Exchange, current_exchange
from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.database import NO_PLACE, UNAVAILABLE
from lakebase_api.lakebase.pool import DeadlineExceeded
from lakebase_api.settings import Settings
from lakebase_api.sql.state import fetch_state
from lakebase_api.sql.table_database import TableDatabase

NAME = "lakebase-api"
# Bytes: a larger answer would push out many small ones, and costs its client more than it costs here.
GREATEST_ANSWER = 1 << 20
# Seconds to wait for a database that may be away, where an answer of before would do.
PATIENCE = 1.0
# Of what is asked again without being kept, so that nobody waits for another who cannot help them.
NEVER = -math.inf
# What an answer says that its reader is to have: of an unchanged one nothing else is sent.
OF_UNCHANGED = ("ETag", "Vary", "Cache-Control")

Read = Callable[[], Response]
T = TypeVar("T")


class Outcome(StrEnum):
    """How an answer came about."""

    HIT = "hit"
    VALIDATED = "validated"
    COLLAPSED = "collapsed"
    STALE = "stale"
    MISS = "miss"


class ResultCache:
    """The memory that a worker has for answers. Safe to share between threads.

    ``tell`` is called with how each answer came about, ``tell_eviction`` when one makes room for another.
    """

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[Outcome], None] = lambda outcome: None,
        tell_eviction: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._tell = tell
        self.answers = Answers(settings.result_cache_size, tell_eviction)
        self.flights = Flights[Answer | None]()
        self.states = Flights["Known"]()
        # Without a lock: that one is lost now and then does no harm.
        self.outcomes: Counter[Outcome] = Counter()

    @property
    def use(self) -> Use:
        """How much of it is in use."""
        return self.answers.use

    def report(self) -> dict[str, int]:
        """How much of it is in use, and how often answers came about in each way."""
        return asdict(self.use) | {outcome.value: self.outcomes[outcome] for outcome in Outcome}

    def note(self, outcome: Outcome) -> None:
        """Count an answer."""
        self.outcomes[outcome] += 1
        self._tell(outcome)

    def keeps(self, keeping: Keeping) -> bool:
        """Whether answers of such an operation are kept."""
        settings = self.settings
        is_worth = keeping is Keeping.ALWAYS or settings.result_cache_ttl or settings.result_stale_if_error
        return bool(settings.result_cache_size and keeping is not Keeping.NEVER and is_worth)


class Known(NamedTuple):
    """The state of the database, as it was at a time of ``time.monotonic()`` or after."""

    state: str | None
    at: float


@dataclass(frozen=True)
class Asked:
    """One request: what it asks for, what it says of answers from memory, and how its answer is read."""

    key: tuple[Hashable, ...]
    exchange: Exchange
    said: Directives
    read: Read


class TableCache:
    """The answers of one table. Safe to share between threads."""

    def __init__(self, cache: ResultCache, database: TableDatabase) -> None:
        self._cache = cache
        self._database = database
        self._ttl = cache.settings.result_cache_ttl
        self._stale_if_error = cache.settings.result_stale_if_error
        scope = "public" if database.table.is_public else "private"
        lifetime = f"max-age={int(self._ttl)}" if self._ttl >= 1 else "no-cache"
        self._control = f"{scope}, {lifetime}"

    def answer(self, operation: Operation, read: Read) -> Response:
        """The answer to the current request, whose caller was admitted to the operation as it is given.

        Raises what ``read`` does. Problems: it is not in memory, and the client wants nothing else.
        """
        if not self._cache.keeps(operation.keeping):
            return read()
        exchange = current_exchange()
        environ, within = exchange.environ, exchange.within
        asked = [environ.get(name) for name in WHAT_IS_ASKED]
        # An operation is another one to those who see other columns.
        key = (operation, negotiate(*FORMS), within.shape, within.values, *asked)
        directives = environ.get("HTTP_CACHE_CONTROL")
        said = read_directives(directives) if directives else ALL_ALLOWED
        return self._find(Asked(key, exchange, said, read))

    def _find(self, asked: Asked) -> Response:
        said = asked.said
        if said.wants_new:
            return self._read(asked, "fwd=request")
        kept, now = self._cache.answers.find(asked.key), time.monotonic()
        if kept and kept.good_until > now:
            age = now - kept.known_at
            if age <= min(said.greatest_age, self._ttl + said.staleness):
                self._cache.note(Outcome.HIT)
                return self._show(kept, asked.exchange, f"hit; ttl={round(self._ttl - age)}", age)
        if said.wants_kept:
            raise Problem(kinds.NOT_KEPT, kinds.NOT_KEPT.meaning)
        is_showable = kept is not None and kept.good_until != NEVER
        last_resort = kept if kept and is_showable and now - kept.known_at <= self._stale_if_error else None
        try:
            return self._find_current(asked, kept, has_last_resort=last_resort is not None)
        except UNAVAILABLE:
            if last_resort is None:
                raise
            self._cache.note(Outcome.STALE)
            age = time.monotonic() - last_resort.known_at
            return self._show(last_resort, asked.exchange, f"hit; ttl={math.floor(self._ttl - age)}", age)

    def _find_current(self, asked: Asked, kept: Answer | None, *, has_last_resort: bool) -> Response:
        """The answer as the database has it now."""
        if kept and (kept.state is not None or has_last_resort):
            patience = PATIENCE if has_last_resort else math.inf
            if self._is_unchanged(kept, asked.exchange, patience):
                self._cache.note(Outcome.VALIDATED)
                return self._show(kept, asked.exchange, "fwd=stale; fwd-status=304")
        forward = "fwd=stale" if kept else "fwd=uri-miss"
        if kept and kept.good_until == NEVER:
            # Of what does not tell its state, as a page without rows, the one before it is as good: unless
            # that is another server's, which may be further.
            if asked.exchange.reads_after is None:
                asked.exchange.state = self._look(asked.exchange).state
            return self._read(asked, forward)
        # One that began before this request, whose answer may have been overtaken, and then one that did not.
        for _ in range(2):
            flight, is_own = self._cache.flights.join(asked.key)
            if is_own:
                return self._lead(asked, flight, forward)
            with suppress(Failed):
                found = self._wait(asked.exchange, flight.wait)
                if found is None:
                    break
                if flight.began >= asked.exchange.started or self._is_unchanged(found, asked.exchange):
                    self._cache.note(Outcome.COLLAPSED)
                    return self._show(found, asked.exchange, f"{forward}; collapsed")
        return self._read(asked, forward)

    def _is_unchanged(self, kept: Answer, exchange: Exchange, patience: float = math.inf) -> bool:
        """Whether the answer is still right, by a look at the database since the request came."""
        known = self._look(exchange, patience)
        if kept.state is None or known.state != kept.state or kept.good_until <= known.at:
            return False
        kept.known_at = max(kept.known_at, known.at)
        return True

    def _look(self, exchange: Exchange, patience: float = math.inf) -> Known:
        """The state of the database at a moment since the request came: asked once for all who wait."""
        deadline = min(exchange.deadline, time.monotonic() + patience)

        def look() -> Known:
            began = time.monotonic()
            operation = f"check_{self._database.table.name}"
            caller = Background(deadline, operation, exchange.flow, reads_after=exchange.reads_after)
            state = self._database.read_for(caller, fetch_state)
            exchange.record_use(0.0, time.monotonic() - began)
            return Known(state, began)

        def share(deadline: float) -> Known:
            what = (self._database.table.name, exchange.reads_after)
            return self._cache.states.share(what, exchange.started, deadline, look)

        try:
            return self._wait(exchange, share, deadline)
        except NO_PLACE:
            # No place to wait for others: what takes long has them all. To look waits for a connection only.
            return look()

    def _wait(self, exchange: Exchange, wait: Callable[[float], T], deadline: float | None = None) -> T:
        """What comes of waiting until the deadline, as few enough do that others have a thread."""
        deadline = deadline or exchange.deadline
        with self._database.wait_long(deadline):
            try:
                return wait(deadline)
            except TimeoutError as error:
                raise DeadlineExceeded from error

    def _lead(self, asked: Asked, flight: Flight[Answer | None], forward: str) -> Response:
        """Read it, for all who wait for the same."""
        own: list[Response] = []

        def work() -> Answer | None:
            response, answer = self._read_and_keep(asked, forward)
            own.append(response)
            return answer

        self._cache.flights.lead(asked.key, flight, work)
        return own[0]

    def _read(self, asked: Asked, forward: str) -> Response:
        return self._read_and_keep(asked, forward)[0]

    def _read_and_keep(self, asked: Asked, forward: str) -> tuple[Response, Answer | None]:
        began = time.monotonic()
        response = asked.read()
        self._cache.note(Outcome.MISS)
        # What says that nothing changed is for as long as what it says it of.
        # https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
        if response.status_code in (200, 304):
            response.headers["Cache-Control"] = self._control
            response.vary.update(VARY[1].split(", "))
        answer = self._build_answer(asked, response, began)
        if answer:
            self._cache.answers.keep(asked.key, answer)
        is_kept = answer is not None and answer.good_until != NEVER
        response.headers.add("Cache-Status", f"{NAME}; {forward}{'; stored' if is_kept else ''}")
        return response, answer if is_kept else None

    def _build_answer(self, asked: Asked, response: Response, began: float) -> Answer | None:
        """What is to be kept of a response."""
        exchange = asked.exchange
        if response.status_code != 200 or asked.said.forbids_keeping:
            return None
        body = response.get_data()
        key_size = sum(len(part) for part in asked.key if isinstance(part, str))
        is_provable = exchange.state is not None or self._ttl or self._stale_if_error
        if not is_provable or len(body) > GREATEST_ANSWER:
            return Answer(b"", (), 0, None, began, NEVER, key_size)
        headers = tuple(response.headers.items())
        return Answer(body, headers, exchange.rows, exchange.state, began, exchange.good_until, key_size)

    def _show(self, answer: Answer, exchange: Exchange, status: str, age: float | None = None) -> Response:
        """The answer, or that the client has it already; ``age`` if the database was not asked."""
        headers = Headers(answer.headers)
        etag = headers.get("ETag", "").strip('"')
        if etag and request.if_none_match.contains_weak(etag):
            response = Response(status=304)
            response.headers.clear()
            response.headers.extend((name, headers[name]) for name in OF_UNCHANGED if name in headers)
        else:
            exchange.rows = answer.rows
            response = Response(answer.body, headers=headers)
        if age is not None:
            response.headers.add("Age", str(int(age)))
        response.headers.add("Cache-Status", f"{NAME}; {status}")
        return response
