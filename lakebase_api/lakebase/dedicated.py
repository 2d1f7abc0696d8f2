"""Dedicated connections, not of the pool, for work that takes long: few, lent for a query at a time."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TypeVar

import psycopg

from lakebase_api.lakebase.connection import Connection, LakebaseConnection
from lakebase_api.lakebase.copy import end_statement
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.places import Places
from lakebase_api.lakebase.pool import LONGEST_PAUSE, DatabaseUnavailable, Pool
from lakebase_api.lakebase.prepared import run_afresh
from lakebase_api.lakebase.retries import Retries, is_lost
from lakebase_api.lakebase.setup_faults import FAULTS_MET, SetupLog
from lakebase_api.lakebase.statements import Labels
from lakebase_api.lakebase.turns import Turns
from lakebase_api.lakebase.watchdog import Watchdog
from lakebase_api.settings import Settings

T = TypeVar("T")

# How often a query is tried again whose connection is lost, or that got into the way of other work: it has
# more time than a request, and may itself be what ends the server.
MAX_LOSSES = MAX_CONFLICTS = 5
# Seconds that new work waits for a connection. Work under way waits for as long as it may take.
MAX_WAIT = 5.0

# Makes a connection ready for the work, whatever it was used for before. Raises psycopg's errors.
Prepare = Callable[[Connection], None]
# Whose work it is to close the connections.
CLOSING = "closing"


class LimitReached(Exception):
    """There is as much work under way as may be, or all connections stayed in use."""


class _Slot:
    """Room for a connection, and whose work it was made ready for last."""

    connection: LakebaseConnection | None = None
    work: "DedicatedWork | None" = None

    def close(self) -> None:
        """End what runs on the connection, and close it."""
        connection, self.connection, self.work = self.connection, None, None
        if connection is not None:
            # The server looks for its client when it has rows to send: until then it would go on.
            with suppress(psycopg.Error):
                end_statement(connection)
            connection.close()


class DedicatedConnections:
    """A few connections beside those of the pool, shared by exports of all tables.

    Safe to share between threads once ``watchdog`` is open; close it on the way out. A connection is lent for
    one query: whoever does something else in between, such as to wait for a client, keeps nobody from it.
    """

    def __init__(
        self, settings: Settings, pool: Pool, setups: Mapping[str, SetupLog], watchdog: Watchdog
    ) -> None:
        self._slots = [_Slot() for _ in range(settings.export_concurrency)]
        self._lock = threading.Lock()
        self._under_way = 0
        self._is_closed = False
        self._places = Places(
            settings.most_exports, settings.most_exports_of_one, always=settings.export_concurrency
        )
        self._turns = Turns(self._slots)
        self.wake_budget = settings.wake_budget
        self._labels = Labels(settings)
        self.pool = pool
        self.setups = setups
        self.watchdog = watchdog

    @contextmanager
    def begin(
        self,
        flow: str,
        table: str,
        prepare: Prepare,
        deadline: float,
        operation: str = "",
        request_id: str = "",
    ) -> Iterator["DedicatedWork"]:
        """Work on a declared table that may use the connections. Raises ``LimitReached``.

        A connection that is free goes to the flow that has the fewest. Until ``deadline``, a time of
        ``time.monotonic()``, one that is lost is opened anew. The database is told the operation and
        the request's id.
        """
        if not self._places.take(flow):
            raise LimitReached
        with self._lock:
            self._under_way += 1
        try:
            label = partial(self._labels.put, operation=operation, request_id=request_id)
            yield DedicatedWork(self, flow, self.setups[table], prepare, deadline, label)
        finally:
            self._end(flow)

    @property
    def under_way(self) -> int:
        """How much work is under way."""
        return self._under_way

    @contextmanager
    def lend(self, flow: str, seconds: float) -> Iterator[_Slot]:
        """A slot, which nobody else has meanwhile. Raises ``TimeoutError`` after so many seconds."""
        with self._turns.take(flow, seconds) as slot:
            try:
                yield slot
            finally:
                if self._is_closed:
                    slot.close()

    def close(self) -> None:
        """Close every connection; one that is in use, as soon as its query has ended."""
        self._is_closed = True
        with ExitStack() as held, suppress(TimeoutError):
            while True:
                held.enter_context(self.lend(CLOSING, 0))

    def _end(self, flow: str) -> None:
        self._places.leave(flow)
        with self._lock:
            self._under_way -= 1
            if not self._under_way:
                # Open, they keep a compute awake.
                for slot in self._slots:
                    slot.close()


class DedicatedWork:
    """Work of one thread, which uses a connection now and then."""

    def __init__(
        self,
        connections: DedicatedConnections,
        flow: str,
        setup: SetupLog,
        prepare: Prepare,
        deadline: float,
        label: Callable[[LakebaseConnection], None],
    ) -> None:
        self._connections = connections
        self._flow = flow
        self._setup = setup
        self._prepare = prepare
        self._deadline = deadline
        self._label = label
        self._is_new = True
        # Seconds that connections were waited for, and that queries took.
        self.waited = self.held = 0.0

    def read(self, query: Callable[[Connection], T], longest: float) -> T:
        """The result of the query, tried again as long as it may; each try takes so many seconds at most.

        Raises ``LimitReached``, ``DatabaseUnavailable``, and what the query raises, except that ``NotSetUp``
        takes the place of ``FAULTS_MET``. What is not psycopg's ends the connection.
        """
        retries = Retries(self._deadline, max_conflicts=MAX_CONFLICTS, max_losses=MAX_LOSSES)
        while True:
            with ExitStack() as held:
                slot = self._take(held)
                try:
                    result = self._use(slot, query, longest)
                    self._is_new = False
                    return result
                except psycopg.OperationalError as error:
                    if not retries.allow(error, is_lost=slot.connection is None):
                        raise
            self._connections.pool.meter.note_retry()
            retries.pause()

    def _take(self, held: ExitStack) -> _Slot:
        began = time.monotonic()
        longest = self._deadline - began
        try:
            return held.enter_context(
                self._connections.lend(self._flow, min(longest, MAX_WAIT) if self._is_new else longest)
            )
        except TimeoutError:
            raise LimitReached from None
        finally:
            self.waited += time.monotonic() - began

    def _use(self, slot: _Slot, query: Callable[[Connection], T], longest: float) -> T:
        self._connections.pool.note_use()
        connection = slot.connection
        if connection is None:
            connection = slot.connection = self._connect()
        began = time.monotonic()
        self._connections.watchdog.watch(connection, began + longest)
        try:
            self._label(connection)
            self._setup.refuse_other_table(connection)
            if slot.work is not self:
                run_afresh(connection, self._prepare)
                slot.work = self
            result = run_afresh(connection, query)
            self._setup.note_success(is_change=False)
            return result
        except FAULTS_MET as error:
            raise self._setup.diagnose(connection, error, is_change=False) from error
        except psycopg.Error as error:
            if is_lost(connection, error):
                slot.close()
            raise
        except BaseException:
            slot.close()
            raise
        finally:
            self._connections.watchdog.release(connection)
            self.held += time.monotonic() - began

    def _connect(self) -> LakebaseConnection:
        """A new connection, as soon as there is one: an outage may be as old as the wake budget."""
        began = time.monotonic()
        try:
            while True:
                try:
                    return self._connections.pool.connect()
                except (psycopg.OperationalError, CredentialError) as error:
                    outage_began = max(began, self._connections.pool.connects.failing_since or began)
                    if time.monotonic() >= min(outage_began + self._connections.wake_budget, self._deadline):
                        raise DatabaseUnavailable("no connection could be opened") from error
                    time.sleep(LONGEST_PAUSE * random.uniform(0.5, 1))
        finally:
            self.waited += time.monotonic() - began
