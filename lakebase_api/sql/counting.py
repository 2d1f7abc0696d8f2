"""Counting rows: exactly where that is quick, once for all who ask, and by estimate where it is not."""

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache, partial

from psycopg import errors
from psycopg_pool import TooManyRequests

from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.pool import DeadlineExceeded
from lakebase_api.settings import Settings
from lakebase_api.sql.predicates import Predicates
from lakebase_api.sql.rows import count_rows, estimate_rows
from lakebase_api.sql.table_database import TableDatabase

logger = logging.getLogger(__name__)

# An exact count that takes long is repeated after as many times what it took, so that counting takes a small
# part of the database at the most.
REST = 20
# Counts that run at once in a process, at most: each has a connection of the pool.
COUNTS_AT_ONCE = 3
# Filters whose counts are remembered.
FILTERS_KEPT = 1000


class Accuracy(StrEnum):
    """How good a count is."""

    EXACT = "exact"
    ESTIMATED = "estimated"


@dataclass(frozen=True)
class Count:
    """How many rows there were at a time. ``began`` is that time by ``time.monotonic()``, in seconds."""

    total: int
    accuracy: Accuracy
    as_of: datetime
    began: float
    took: float = 0.0

    def age(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.began


class NotStarted(Exception):
    """The system has no thread for a count."""


def build_slots(settings: Settings) -> threading.BoundedSemaphore:
    """What the counts of a process that run take one of each, whatever table they are of."""
    connections = settings.pool_size + settings.pool_max_overflow
    return threading.BoundedSemaphore(max(1, min(COUNTS_AT_ONCE, connections - 1)))


class TableCounts:
    """The numbers of rows of a table, for every request of a process. Safe to share between threads.

    ``slots`` are those of the process.
    """

    def __init__(
        self, database: TableDatabase, settings: Settings, slots: threading.BoundedSemaphore
    ) -> None:
        def build(which: Predicates) -> SharedCount:
            return SharedCount(database, settings, slots, which)

        self._find = lru_cache(FILTERS_KEPT)(build)

    def ask(
        self, which: Predicates, wanted: Accuracy | None, deadline: float, reads_after: str | None = None
    ) -> Count:
        """A count: exact, estimated, or exact if that takes at most ``COUNT_BUDGET`` from now.

        ``reads_after`` is how far a replica must be that is asked for a new one; ``None``: none may be.

        When an exact one is wanted and does not come, raises ``DeadlineExceeded``, ``TooManyRequests`` or
        ``NotStarted``. Raises as reading does.
        """
        return self._find(which).ask(wanted, deadline, reads_after)

    def recall(self, which: Predicates) -> int | None:
        """The exact number, if it was counted at most ``COUNT_TTL`` ago."""
        return self._find(which).recall()

    def lifetime(self, which: Predicates, count: Count) -> float:
        """Seconds from its beginning for which the count is the answer."""
        return self._find(which).lifetime(count)


class SharedCount:
    """The number of rows of one filter, counted once for all who ask. Safe to share between threads.

    ``slots`` are taken by the counts that run.
    """

    def __init__(
        self,
        database: TableDatabase,
        settings: Settings,
        slots: threading.BoundedSemaphore,
        which: Predicates,
    ) -> None:
        self._database = database
        self._settings = settings
        self._slots = slots
        self._which = which
        self._lock = threading.Lock()
        self._running: Future[Count] | None = None
        self._latest: Count | None = None
        # What the last count took, also one that failed, and when it ended by `time.monotonic()`.
        self._took = 0.0
        self._ended = float("-inf")

    def ask(self, wanted: Accuracy | None, deadline: float, reads_after: str | None = None) -> Count:
        """As ``TableCounts.ask``."""
        if wanted is Accuracy.ESTIMATED:
            return self._estimate()
        latest = self._latest
        if latest and latest.age() <= self.lifetime(latest, wanted):
            return latest
        try:
            return self._count(wanted, deadline, reads_after)
        except (TimeoutError, errors.QueryCanceled) as error:
            if wanted is Accuracy.EXACT:
                raise DeadlineExceeded from error
        except (TooManyRequests, NotStarted):
            if wanted is Accuracy.EXACT:
                raise
        return self._estimate()

    def recall(self) -> int | None:
        """As ``TableCounts.recall``."""
        latest = self._latest
        return latest.total if latest and latest.age() <= self._settings.count_ttl else None

    def lifetime(self, count: Count, wanted: Accuracy | None = None) -> float:
        """As ``TableCounts.lifetime``, of an exact count that is ``wanted`` or not."""
        if wanted is not Accuracy.EXACT and count.took > self._settings.count_budget:
            return max(self._settings.count_ttl, REST * count.took)
        return self._settings.count_ttl

    def _count(self, wanted: Accuracy | None, deadline: float, reads_after: str | None) -> Count:
        """The exact count that is under way, or a new one. Raises ``TimeoutError`` if it takes too long."""
        if wanted is Accuracy.EXACT:
            with self._database.wait_long(deadline):
                return self._run(deadline, reads_after)
        is_slow = self._took > self._settings.count_budget
        if is_slow and time.monotonic() < self._ended + REST * self._took:
            raise TimeoutError
        # Who knows that it takes longer need not wait to see it.
        patience = 0.0 if is_slow else self._settings.count_budget
        with self._database.wait_long(deadline):
            return self._run(min(time.monotonic() + patience, deadline), reads_after)

    def _estimate(self) -> Count:
        total = self._database.read(estimate_rows, self._which)
        return Count(total, Accuracy.ESTIMATED, datetime.now(UTC), time.monotonic())

    def _run(self, end: float, reads_after: str | None) -> Count:
        running = self._running
        if running is None:
            if not self._slots.acquire(timeout=max(0.0, end - time.monotonic())):
                raise TimeoutError
            running = self._start(reads_after)
        return running.result(max(0.0, end - time.monotonic()))

    def _start(self, reads_after: str | None) -> Future[Count]:
        """Start to count in a thread that has the caller's slot, unless somebody else just did."""
        with self._lock:
            if self._running:
                self._slots.release()
                return self._running
            answer: Future[Count] = Future()
            try:
                work = partial(self._work, answer, reads_after)
                threading.Thread(target=work, name="count", daemon=True).start()
            except RuntimeError as error:
                self._slots.release()
                raise NotStarted(str(error)) from error
            self._running = answer
            return answer

    def _work(self, answer: Future[Count], reads_after: str | None) -> None:
        began, as_of = time.monotonic(), datetime.now(UTC)
        table = self._database.overlay.table
        deadline = began + self._settings.request_timeout
        caller = Background(deadline, f"count_{table.name}", reads_after=reads_after)
        count = error = None
        try:
            total = self._database.read_for(caller, count_rows, self._which)
            count = Count(total, Accuracy.EXACT, as_of, began, time.monotonic() - began)
        except Exception as raised:  # noqa: BLE001  handed to those who wait for it
            error = raised
            logger.warning("Counting failed: %s: %s", type(raised).__name__, first_line(raised))
        with self._lock:
            self._running = None
            self._ended = time.monotonic()
            self._took = self._ended - began
            self._latest = count or self._latest
        self._slots.release()
        if count:
            answer.set_result(count)
        else:
            answer.set_exception(error)
