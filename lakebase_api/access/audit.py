"""Keeps what was done that no history has, without any request waiting for it."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.pool import UPKEEP
from lakebase_api.lakebase.write_behind import WriteBehind
from lakebase_api.sql.audit_table import AuditAction, AuditTable, Event
from lakebase_api.sql.own_tables import OWN_TABLES

logger = logging.getLogger(__name__)

# Refusals that wait; more are counted only. Others are few: what a worker exports in days of an outage.
MOST_REFUSALS = 1_000
MOST_KEPT = 10_000
SERVICE = "service"
# Writes events within so many seconds. Raises what the database does.
Store = Callable[[Sequence[Event], float], None]
NOT_WRITTEN = "What was done and has no history is not written: %s. `python -m lakebase_api doctor` says more"


class Audit:
    """What waits to be written. Safe to share between threads.

    ``store`` writes events; ``find_use`` gives the time of ``time.monotonic()`` at which requests last asked
    for the database: refusals alone never wake it. ``clock`` gives that time now.
    """

    def __init__(
        self, store: Store, find_use: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept: deque[Event] = deque()
        self._refusals: deque[Event] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._writes = WriteBehind[_Batch](
            self._take,
            lambda batch, time_limit: store(batch.list_events(), time_limit),
            self._settle,
            find_use,
            lambda reason: logger.warning(NOT_WRITTEN, reason),
            clock,
        )

    def record(self, event: Event) -> None:
        """Have the event written soon, and again until that goes well. Does not block."""
        self._add(self._kept, event, MOST_KEPT)

    def record_refusal(self, event: Event) -> None:
        """Have a refusal written with others of the minute, if there is room for it. Does not block."""
        self._add(self._refusals, event, MOST_REFUSALS)

    def write(self) -> None:
        """Write what is due. To be called every ``write_behind.INTERVAL`` seconds."""
        self._writes.write()

    def close(self) -> None:
        """Write what is left, as the process ends."""
        self._writes.close()

    def _add(self, waiting: deque[Event], event: Event, most: int) -> None:
        with self._lock:
            if len(waiting) < most:
                waiting.append(event)
            else:
                self._dropped += 1

    def _take(self, takes_refusals: bool) -> "_Batch | None":
        with self._lock:
            kept, refusals, dropped = list(self._kept), [], 0
            self._kept.clear()
            if takes_refusals:
                refusals, dropped = list(self._refusals), self._dropped
                self._refusals.clear()
                self._dropped = 0
        return _Batch(kept, refusals, dropped) if kept or refusals or dropped else None

    def _settle(self, batch: "_Batch", is_over: bool) -> None:
        if is_over:
            return
        with self._lock:
            self._dropped += batch.dropped
        for event in batch.kept:
            self.record(event)
        for event in batch.refusals:
            self.record_refusal(event)


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
        background = Background(time.monotonic() + time_limit, flow=UPKEEP)
        self.database.read_for(background, lambda connection: self._insert(connection, events))

    def _insert(self, connection: Connection, events: Sequence[Event]) -> None:
        AuditTable(connection, self.schema).insert(events)


class StartRecord:
    """Writes at the first connection of a process that its server has started, and with which settings.

    Makes the app's own tables where there are none. What cannot be written then is given to ``record``. Safe
    to share between threads.
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
        # A person, whose role on Lakebase is an e-mail address, would own what is the app's.
        if "@" not in connection.info.user:
            for table in OWN_TABLES:
                with contextlib.suppress(psycopg.Error):
                    table.make(connection, self._schema)
        try:
            AuditTable(connection, self._schema).insert_start(self._event)
        except psycopg.Error:
            self._record(self._event)
