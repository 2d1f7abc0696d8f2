"""Dedicated connections, not of the pool, for work that takes long: few, lent for a query at a time."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import errors

from lakebase_api.lakebase.connection import PRIMARY, REPLICA, Connection, LakebaseConnection
from lakebase_api.lakebase.database import NotRead
from lakebase_api.lakebase.places import Places
from lakebase_api.lakebase.pool import DatabaseUnavailable
from lakebase_api.lakebase.prepared import run_afresh
from lakebase_api.lakebase.retries import Retries, is_lost
from lakebase_api.lakebase.setup_faults import FAULTS_MET, NotSetUp
from lakebase_api.lakebase.slots import Slot, Slots
from lakebase_api.lakebase.statements import Labels, ReplicaBehind, pass_gate
from lakebase_api.lakebase.watchdog import Watchdog
from lakebase_api.settings import REPLICA_PATIENCE, Settings

T = TypeVar("T")

# How often a query is tried again whose connection is lost, or that got into the way of other work: it has
# more time than a request, and may itself be what ends the server.
MAX_LOSSES = MAX_CONFLICTS = 5
# Seconds that new work waits for a connection. Work under way waits for as long as it may take.
MAX_WAIT = 5.0

# Makes a connection ready for the work, whatever it was used for before. Raises psycopg's errors.
Prepare = Callable[[Connection], None]


class LimitReached(Exception):
    """There is as much work under way as may be, or all connections stayed in use."""


# What the primary is to be asked after, where a replica was at first.
NOT_READ = (ReplicaBehind, NotRead, NotSetUp, DatabaseUnavailable, LimitReached, psycopg.OperationalError)


class DedicatedConnections:
    """A few connections beside those of the pool, shared by exports of all tables.

    Safe to share between threads once ``watchdog`` is open; close it on the way out. A connection is lent for
    one query: whoever does something else in between, such as to wait for a client, keeps nobody from it.
    ``replica`` is used by whoever may, as long as all goes well there.
    """

    def __init__(
        self, settings: Settings, primary: Slots, watchdog: Watchdog, replica: Slots | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._places = Places(
            settings.most_exports, settings.most_exports_of_one, always=settings.export_concurrency
        )
        self._labels = Labels(settings)
        self.primary = primary
        self.replica = replica
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
        reads_after: str | None = None,
    ) -> Iterator["DedicatedWork"]:
        """Work on a declared table that may use the connections. Raises ``LimitReached``.

        A connection that is free goes to the flow that has the fewest. Until ``deadline``, a time of
        ``time.monotonic()``, one that is lost is opened anew. The database is told the operation and
        the request's id. ``reads_after`` is how far a replica must be to be used; ``None``: none may.
        """
        if not self._places.take(flow):
            raise LimitReached
        with self._lock:
            self._under_way += 1
        try:
            label = partial(self._labels.put, operation=operation, request_id=request_id)
            yield DedicatedWork(self, flow, table, prepare, deadline, label, reads_after)
        finally:
            self._end(flow)

    @property
    def under_way(self) -> int:
        """How much work is under way."""
        return self._under_way

    def close(self) -> None:
        """Close every connection; one that is in use, as soon as its query has ended."""
        for slots in self._list_slots():
            slots.close()

    def _list_slots(self) -> Sequence[Slots]:
        return [self.primary, *([self.replica] if self.replica else [])]

    def _end(self, flow: str) -> None:
        self._places.leave(flow)
        with self._lock:
            self._under_way -= 1
            if not self._under_way:
                for slots in self._list_slots():
                    slots.close_idle()


class DedicatedWork:
    """Work of one thread, which uses a connection now and then: to a replica until there is a fault."""

    def __init__(
        self,
        connections: DedicatedConnections,
        flow: str,
        table: str,
        prepare: Prepare,
        deadline: float,
        label: Callable[[LakebaseConnection], None],
        reads_after: str | None,
    ) -> None:
        self._connections = connections
        is_on_replica = connections.replica is not None and reads_after is not None
        self._slots = connections.replica if is_on_replica and connections.replica else connections.primary
        self._flow = flow
        self._table = table
        self._prepare = prepare
        self._deadline = deadline
        self._label = label
        self._reads_after = reads_after
        self._is_new = True
        # Seconds that connections were waited for, and that queries took.
        self.waited = self.held = 0.0

    @property
    def server(self) -> str:
        """Which server is read, where there are two."""
        if self._connections.replica is None:
            return ""
        return REPLICA if self.is_on_replica else PRIMARY

    @property
    def is_on_replica(self) -> bool:
        """Whether it is the replica that is read."""
        return self._slots is self._connections.replica

    def read(self, query: Callable[[Connection], T], longest: float) -> T:
        """The result of the query, tried again as long as it may; each try takes so many seconds at most.

        Raises ``LimitReached``, ``DatabaseUnavailable``, and what the query raises, except that ``NotSetUp``
        takes the place of ``FAULTS_MET``. What is not psycopg's ends the connection.
        """
        if self.is_on_replica:
            try:
                return self._read(query, longest, Retries(self._deadline, max_conflicts=0, max_losses=0))
            except errors.QueryCanceled:
                raise
            except NOT_READ:
                # From here on it is read on the primary, which is never behind what was read.
                self._slots = self._connections.primary
        retries = Retries(self._deadline, max_conflicts=MAX_CONFLICTS, max_losses=MAX_LOSSES)
        return self._read(query, longest, retries)

    def _read(self, query: Callable[[Connection], T], longest: float, retries: Retries) -> T:
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
            self._slots.pool.meter.note_retry()
            retries.pause()

    def _take(self, held: ExitStack) -> Slot:
        began = time.monotonic()
        longest = self._deadline - began
        try:
            if self.is_on_replica:
                longest = min(longest, REPLICA_PATIENCE)
            elif self._is_new:
                longest = min(longest, MAX_WAIT)
            return held.enter_context(self._slots.lend(self._flow, longest))
        except TimeoutError:
            raise LimitReached from None
        finally:
            self.waited += time.monotonic() - began

    def _use(self, slot: Slot, query: Callable[[Connection], T], longest: float) -> T:
        self._slots.pool.note_use()
        connection = slot.connection
        if connection is None:
            connection = slot.connection = self._connect()
        began = time.monotonic()
        setup = self._slots.setups[self._table]
        self._connections.watchdog.watch(connection, began + longest)
        try:
            self._label(connection)
            setup.refuse_other_table(connection)
            if connection.position:
                connection.position.demanded = self._reads_after
                pass_gate(connection)
            if slot.work is not self:
                run_afresh(connection, self._prepare)
                slot.work = self
            result = run_afresh(connection, query)
            setup.note_success(is_change=False)
            return result
        except FAULTS_MET as error:
            raise setup.diagnose(connection, error, is_change=False) from error
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
        began = time.monotonic()
        try:
            return self._slots.connect(self._deadline)
        finally:
            self.waited += time.monotonic() - began
