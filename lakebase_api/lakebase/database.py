"""Lends pooled connections to queries, and decides what a failure means."""

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, Self, TypeVar

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from lakebase_api.lakebase.caller import Caller
from lakebase_api.lakebase.connection import Connection, LakebaseConnection
from lakebase_api.lakebase.pool import DatabaseUnavailable, DeadlineExceeded, Pool
from lakebase_api.lakebase.prepared import run_afresh
from lakebase_api.lakebase.retries import Retries, is_lost
from lakebase_api.lakebase.setup_faults import FAULTS_MET, NotSetUp, SetupLog
from lakebase_api.lakebase.statements import Labels, find_position
from lakebase_api.lakebase.watchdog import Watchdog
from lakebase_api.settings import Settings

T = TypeVar("T")

# What is asked on a connection that is lent for it. It may be called again.
Query = Callable[[Connection], T]


# What is raised while the database is away, wakes up, or has too much to do.
UNAVAILABLE = (
    DatabaseUnavailable,
    DeadlineExceeded,
    PoolClosed,
    PoolTimeout,
    TooManyRequests,
    psycopg.OperationalError,
)
# What is raised where too many wait already.
NO_PLACE = TooManyRequests


class OutcomeUnknown(Exception):
    """The connection was lost while a write was under way: it may have been made, or not."""


class Replica(Protocol):
    """A server that follows the primary."""

    def read(self, caller: Caller, query: Query[T]) -> T:
        """The result of the query. Raises ``NotRead``, and what the primary would not answer either."""
        ...

    def read_long(self, caller: Caller, query: Query[T]) -> T:
        """As ``read``, for a statement that may go through the whole table."""
        ...

    def for_table(self, name: str) -> Self:
        """The same for queries on that declared table."""
        ...


class NotRead(Exception):
    """The replica did not answer, which is why the primary is to."""


class Database:
    """Runs queries on pooled connections. Safe to share between threads once open.

    ``setup`` is for queries that are on none of the tables ``by_table``; ``find_caller`` gives the caller of
    the current thread. ``replica`` answers what it may and can; ``server`` is which one this is, if there are
    two.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        setup: SetupLog,
        find_caller: Callable[[], Caller],
        by_table: Mapping[str, SetupLog] = MappingProxyType({}),
        watchdog: Watchdog | None = None,
        replica: Replica | None = None,
        server: str = "",
    ) -> None:
        self._command_timeout = settings.command_timeout
        self._pool = pool
        self._labels = Labels(settings)
        self._find_caller = find_caller
        self.watchdog = watchdog or Watchdog()
        self._retries = _Count()
        self._setup = setup
        self._by_table = by_table
        self._replica = replica
        self._server = server

    @property
    def retries(self) -> int:
        """How often a query was tried again."""
        return self._retries.reached

    def for_table(self, name: str) -> "Database":
        """The same for queries on that declared table, which are refused while it is not as declared."""
        bound = copy(self)
        bound._setup = self._by_table[name]
        bound._replica = self._replica and self._replica.for_table(name)
        return bound

    def open(self) -> None:
        """Start connecting in the background; returns at once. Call it after the fork."""
        self.watchdog.open()
        self._pool.open()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        self.watchdog.close()

    def read(self, query: Query[T]) -> T:
        """The result of the query, tried again as long as it may when a connection is lost.

        Raises ``DatabaseUnavailable``, ``DeadlineExceeded``, ``PoolTimeout``, ``TooManyRequests``, and what
        the query raises, except that ``NotSetUp`` takes the place of ``FAULTS_MET``.
        """
        return self.read_for(self._find_caller(), query)

    def read_for(self, caller: Caller, query: Query[T]) -> T:
        """As ``read``, on behalf of somebody else than the current thread's caller."""
        if self._replica and caller.reads_after is not None:
            with suppress(NotRead):
                return self._replica.read(caller, query)
        return self._run(caller, query)

    def read_long(self, query: Query[T]) -> T:
        """As ``read``, for a statement that may go through the whole table: few of those run at once."""
        caller = self._find_caller()
        if self._replica and caller.reads_after is not None:
            with suppress(NotRead):
                return self._replica.read_long(caller, query)
        began = time.monotonic()
        with self._pool.take_long_turn(caller.flow, caller.deadline):
            caller.record_use(time.monotonic() - began, 0.0)
            return self._run(caller, query)

    def wait_long(self, deadline: float) -> AbstractContextManager[None]:
        """Count as one who waits for what may take long, as few may.

        Raises ``DatabaseUnavailable``, ``DeadlineExceeded`` and ``TooManyRequests``.
        """
        return self._pool.wait_long(self._find_caller().flow, deadline)

    def write(self, query: Query[T]) -> T:
        """As ``read``, but a query that may have reached the server is not tried again.

        Raises ``OutcomeUnknown`` too, when the connection was lost meanwhile.
        """
        return self._run(self._find_caller(), query, is_change=True, is_repeatable=False)

    def write_for(self, caller: Caller, query: Query[T]) -> T:
        """As ``write``, on behalf of somebody else than the current thread's caller."""
        return self._run(caller, query, is_change=True, is_repeatable=False)

    def write_repeatably(self, query: Query[T]) -> T:
        """As ``read``, for a write that does nothing when it was done already."""
        return self._run(self._find_caller(), query, is_change=True)

    def _run(
        self, caller: Caller, query: Query[T], *, is_change: bool = False, is_repeatable: bool = True
    ) -> T:
        retries, was_at_a_loss = Retries(caller.deadline), False
        while True:
            use = Use(caller.deadline, is_change=is_change)
            try:
                return self.use(query, caller, use)
            except NotSetUp as error:
                # What the statement met is gone by now.
                if error.is_explained or was_at_a_loss:
                    raise
                was_at_a_loss = True
            except psycopg.OperationalError as error:
                is_allowed = retries.allow(error, is_lost=use.lost)
                if use.lost and time.monotonic() >= caller.deadline:
                    raise DeadlineExceeded from error
                if not is_allowed:
                    raise
                if use.lost and use.sent and not is_repeatable:
                    raise OutcomeUnknown from error
            self._retries.step()
            self._pool.meter.note_retry()
            retries.pause()

    def use(self, query: Query[T], caller: Caller, use: "Use") -> T:
        """The result of the query, run once; notes in ``use`` how far it came. Raises as ``read`` does."""
        started = borrowed = time.monotonic()
        connection = None
        try:
            connection = self._pool.borrow(caller.flow, use.deadline)
            borrowed = time.monotonic()
            self.watchdog.watch(connection, use.deadline)
            self._limit_statement(connection, use.deadline - borrowed)
            self._labels.put(connection, caller.operation, caller.request_id)
            self._setup.refuse_other_table(connection)
            use.sent = True
            if connection.position:
                connection.position.demanded = caller.reads_after
            result = run_afresh(connection, query)
            self._setup.note_success(is_change=use.is_change)
            self._pool.note_success()
            if self._server:
                caller.note_server(self._server)
            if self._replica and use.is_change:
                caller.note_commit(find_position(connection))
            return result
        except FAULTS_MET as error:
            assert connection is not None
            raise self._setup.diagnose(connection, error, is_change=use.is_change) from error
        except psycopg.Error as error:
            # Without a connection there was none to borrow.
            use.lost = connection is not None and is_lost(connection, error)
            raise
        finally:
            if connection is not None:
                self._end(connection, use)
                waited, held = borrowed - started, time.monotonic() - borrowed
                self._pool.meter.note_use(waited, held)
            else:
                waited, held = time.monotonic() - started, 0.0
                self._pool.meter.note_no_connection(waited)
            caller.record_use(waited, held)

    def _end(self, connection: LakebaseConnection, use: "Use") -> None:
        self.watchdog.release(connection)
        if connection.position:
            connection.position.demanded = None
        use.lost = use.lost or connection.closed
        if use.lost:
            self._pool.discard(connection)
        else:
            self._pool.give_back(connection)

    def _limit_statement(self, connection: LakebaseConnection, remaining: float) -> None:
        """Have the server end the statement when the request's time is up."""
        if remaining <= 0:
            raise DeadlineExceeded
        limit = max(1, round(min(self._command_timeout, remaining) * 1000))
        if connection.statement_timeout != limit:
            # Never prepared, which gains nothing: it is not repeated where what is prepared is gone.
            connection.execute(f"SET statement_timeout = {limit}".encode(), prepare=False)
            connection.statement_timeout = limit


@dataclass
class Use:
    """How far one use of a connection came, which has to end by ``deadline``, of ``time.monotonic()``."""

    deadline: float
    is_change: bool = False
    sent: bool = False
    lost: bool = False


class _Count:
    """A count that any thread may raise."""

    def __init__(self) -> None:
        self._steps = itertools.count(1)
        self.reached = 0

    def step(self) -> None:
        self.reached = next(self._steps)
