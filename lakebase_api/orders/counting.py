"""Counting the orders: exactly where that is quick, once for all who ask, and by estimate where it is not."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from psycopg import errors

from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.pool import DeadlineExceeded
from lakebase_api.orders.queries import OrderQueries
from lakebase_api.settings import Settings

# An exact count that takes long is repeated after as many times what it took, so that counting takes a small
# part of the database at the most.
REST = 20


class Accuracy(StrEnum):
    """How good a count is."""

    EXACT = "exact"
    ESTIMATED = "estimated"


@dataclass(frozen=True)
class Count:
    """How many orders there were at a time. ``began`` is that time by ``time.monotonic()``, in seconds."""

    total: int
    accuracy: Accuracy
    as_of: datetime
    began: float
    took: float = 0.0

    def age(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.began


@dataclass(frozen=True)
class Background:
    """On whose behalf a count runs that several requests wait for."""

    deadline: float

    def record_use(self, waited: float, held: float) -> None:
        """It is nobody's own."""


class OrderCount:
    """The number of orders, for every request of a process. Safe to share between threads."""

    def __init__(self, database: Database, queries: OrderQueries, settings: Settings) -> None:
        self._database = database
        self._queries = queries
        self._settings = settings
        self._lock = threading.Lock()
        self._running: Future[Count] | None = None
        self._latest: Count | None = None
        # What the last count took, also one that failed, and when it ended by `time.monotonic()`.
        self._took = 0.0
        self._ended = float("-inf")

    def ask(self, wanted: Accuracy | None, deadline: float) -> Count:
        """A count: exact, estimated, or exact if that takes at most ``COUNT_BUDGET`` from now.

        Raises ``DeadlineExceeded`` when an exact one is wanted and does not come; and as reading does.
        """
        if wanted is Accuracy.ESTIMATED:
            return self._estimate()
        latest = self._latest
        if latest and latest.age() <= self.lifetime(latest, wanted):
            return latest
        try:
            return self._count(wanted, deadline)
        except (TimeoutError, errors.QueryCanceled) as error:
            if wanted is Accuracy.EXACT:
                raise DeadlineExceeded from error
            return self._estimate()

    def recall(self) -> int | None:
        """The exact number, if it was counted at most ``COUNT_TTL`` ago."""
        latest = self._latest
        return latest.total if latest and latest.age() <= self._settings.count_ttl else None

    def lifetime(self, count: Count, wanted: Accuracy | None = None) -> float:
        """Seconds from its beginning for which the count is the answer."""
        if wanted is not Accuracy.EXACT and count.took > self._settings.count_budget:
            return max(self._settings.count_ttl, REST * count.took)
        return self._settings.count_ttl

    def _count(self, wanted: Accuracy | None, deadline: float) -> Count:
        """The exact count that is under way, or a new one. Raises ``TimeoutError`` if it takes too long."""
        if wanted is Accuracy.EXACT:
            return self._start().result(deadline - time.monotonic())
        is_slow = self._took > self._settings.count_budget
        if is_slow and time.monotonic() < self._ended + REST * self._took:
            raise TimeoutError
        running = self._start()
        # Who knows that it takes longer need not wait to see it.
        patience = 0.0 if is_slow else self._settings.count_budget
        return running.result(min(patience, deadline - time.monotonic()))

    def _estimate(self) -> Count:
        total = self._database.read(self._queries.estimate_orders)
        return Count(total, Accuracy.ESTIMATED, datetime.now(UTC), time.monotonic())

    def _start(self) -> Future[Count]:
        with self._lock:
            if self._running is None:
                self._running = Future()
                threading.Thread(target=self._run, args=(self._running,), name="count", daemon=True).start()
            return self._running

    def _run(self, answer: Future[Count]) -> None:
        began, as_of = time.monotonic(), datetime.now(UTC)
        caller = Background(began + self._settings.request_timeout)
        count = error = None
        try:
            total = self._database.read_for(caller, self._queries.count_orders)
            count = Count(total, Accuracy.EXACT, as_of, began, time.monotonic() - began)
        except Exception as raised:  # noqa: BLE001  handed to those who wait for it
            error = raised
        with self._lock:
            self._running = None
            self._ended = time.monotonic()
            self._took = self._ended - began
            self._latest = count or self._latest
        if count:
            answer.set_result(count)
        else:
            answer.set_exception(error)
