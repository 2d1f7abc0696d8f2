"""Keeps what was done that no history has, without any request waiting for it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Background, Database
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.pool import DatabaseUnavailable, DeadlineExceeded
from lakebase_api.lakebase.setup_faults import NotSetUp
from lakebase_api.sql.audit_table import AuditAction, AuditTable, Event

logger = logging.getLogger(__name__)

# Seconds between two looks at what is to be written, and between two batches of refusals or tries in vain.
INTERVAL = 2.0
PAUSE = 60.0
# Refusals that wait; more are counted only. Others are few: what a worker exports in days of an outage.
MOST_REFUSALS = 1_000
MOST_KEPT = 10_000
# Seconds that writing takes at most.
TIME_LIMIT = 10.0
# The same when the process ends.
LAST_TIME_LIMIT = 2.0
SERVICE = "service"
# Writes events within so many seconds. Raises what the database does.
Store = Callable[[Sequence[Event], float], None]
CANNOT_WRITE = (psycopg.Error, DatabaseUnavailable, DeadlineExceeded, NotSetUp)
NOT_WRITTEN = "What was done and has no history is not written: %s. `python -m lakebase_api doctor` says more"


class Audit:
    """What waits to be written. Safe to share between threads.

    ``store`` writes events; ``find_use`` gives the time of ``time.monotonic()`` at which the database was
    last asked for: refusals alone never wake it. ``clock`` gives that time now.
    """

    def __init__(
        self, store: Store, find_use: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._find_use = find_use
        self._clock = clock
        self._kept: deque[Event] = deque()
        self._refusals: deque[Event] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._tried_at = self._failed_at = self._own_use = float("-inf")
        self._was_told = False

    def record(self, event: Event) -> None:
        """Have the event written soon, and again until that goes well. Does not block."""
        self._add(self._kept, event, MOST_KEPT)

    def record_refusal(self, event: Event) -> None:
        """Have a refusal written with others of the minute, if there is room for it. Does not block."""
        self._add(self._refusals, event, MOST_REFUSALS)

    def write(self) -> None:
        """Write what is due. To be called every ``INTERVAL`` seconds."""
        with self._writing:
            now = self._clock()
            was_used = self._was_used(now)
            may_retry = self._failed_at < now - PAUSE and was_used
            is_failing = self._failed_at > float("-inf")
            takes_refusals = was_used and self._tried_at < now - PAUSE
            if is_failing and not may_retry:
                return
            self._write(self._take(takes_refusals=takes_refusals), TIME_LIMIT)

    def close(self) -> None:
        """Write what is left, as the process ends."""
        if self._writing.acquire(timeout=LAST_TIME_LIMIT):
            try:
                takes_refusals = self._was_used(self._clock())
                self._write(self._take(takes_refusals=takes_refusals), LAST_TIME_LIMIT)
            finally:
                self._writing.release()

    def _was_used(self, now: float) -> bool:
        """Whether others than this used the database in the last minute."""
        used = self._find_use()
        return used != self._own_use and used > now - PAUSE

    def _add(self, waiting: deque[Event], event: Event, most: int) -> None:
        with self._lock:
            if len(waiting) < most:
                waiting.append(event)
            else:
                self._dropped += 1

    def _take(self, *, takes_refusals: bool) -> "_Batch":
        with self._lock:
            kept, refusals, dropped = list(self._kept), [], 0
            self._kept.clear()
            if takes_refusals:
                refusals, dropped = list(self._refusals), self._dropped
                self._refusals.clear()
                self._dropped = 0
                self._tried_at = self._clock()
        return _Batch(kept, refusals, dropped)

    def _write(self, batch: "_Batch", time_limit: float) -> None:
        if not (events := batch.list_events()):
            return
        try:
            self._store(events, time_limit)
        except psycopg.DataError as error:  # it would be so the next time
            logger.warning(NOT_WRITTEN, first_line(error))
        except CANNOT_WRITE as error:
            self._put_back(batch)
            self._tell(error)
        else:
            self._failed_at = float("-inf")
            self._was_told = False
        self._own_use = self._find_use()

    def _put_back(self, batch: "_Batch") -> None:
        self._failed_at = self._clock()
        with self._lock:
            self._dropped += batch.dropped
        for event in batch.kept:
            self.record(event)
        for event in batch.refusals:
            self.record_refusal(event)

    def _tell(self, error: Exception) -> None:
        if not self._was_told:
            self._was_told = True
            logger.warning(NOT_WRITTEN, first_line(error))


@dataclass(frozen=True)
class _Batch:
    """What is written at once."""

    kept: Sequence[Event]
    refusals: Sequence[Event]
    dropped: int

    def list_events(self) -> Sequence[Event]:
        """All of it, with how many there was no room for."""
        told = [Event(AuditAction.DROPPED, SERVICE, rows=self.dropped)] if self.dropped else []
        return [*self.kept, *self.refusals, *told]


@dataclass(frozen=True)
class AuditStore:
    """Writes events by way of the service's connections."""

    database: Database
    schema: str

    def write(self, events: Sequence[Event], time_limit: float) -> None:
        """Write them within so many seconds. Raises what the database does."""
        background = Background(time.monotonic() + time_limit)
        self.database.read_for(background, lambda connection: self._insert(connection, events))

    def _insert(self, connection: Connection, events: Sequence[Event]) -> None:
        AuditTable(connection, self.schema).insert(events)


class StartRecord:
    """Writes at the first connection of a process that its server has started, and with which settings.

    Makes the table where there is none. What cannot be written then is given to ``record``. Safe to share
    between threads.
    """

    def __init__(self, schema: str, event: Event, record: Callable[[Event], None]) -> None:
        self._schema = schema
        self._event = event
        self._record = record
        self._first = threading.Lock()
        self._was_first = False

    def write(self, connection: Connection) -> None:
        """Do so with this connection, if it is the first; others wait meanwhile, and find the table."""
        with self._first:
            if not self._was_first:
                self._was_first = True
                self._write(connection)

    def _write(self, connection: Connection) -> None:
        table = AuditTable(connection, self._schema)
        try:
            # A person, whose role on Lakebase is an e-mail address, would own what is the app's.
            if "@" not in connection.info.user:
                table.make()
            table.insert_start(self._event)
        except psycopg.Error:
            self._record(self._event)
