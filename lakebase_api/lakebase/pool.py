"""The connection pool: lends live connections, and goes on by itself when the database is away."""

import random
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from lakebase_api.lakebase.connection import (
    PRIMARY,
    Connection,
    ConnectLog,
    LakebaseConnection,
    ReplicaConnection,
)
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import MAY_BE_FULL, MAY_BE_PASSWORD, classify
from lakebase_api.lakebase.meter import NO_METER, Meter
from lakebase_api.lakebase.places import Places
from lakebase_api.lakebase.target import Target
from lakebase_api.lakebase.turns import Turn, Turns
from lakebase_api.settings import Settings

# Seconds between attempts to connect in an outage, at most: a database that returns is found soon.
LONGEST_PAUSE = 1.0
# Seconds after the last request for which an outage is still asked about.
PATIENCE = 600.0
# Seconds for which the pool keeps to half its size or less after the server had no connection left.
RELIEF = 30.0
# Seconds over which those who wait are told that the wake budget is over: all at once they would hold up
# each other, and the probes.
SPREAD = 0.3
# The flow of what the service writes by itself: it never keeps the database awake.
UPKEEP = "upkeep"
# The flow of what several requests wait for, such as a count.
BACKGROUND = "background"
# Flows that are no caller's: so little of it runs at once that it takes no place of theirs.
OWN_FLOWS = (UPKEEP, BACKGROUND)
# The least that a wait for a connection takes; psycopg_pool gives nothing to who does not wait at all.
SHORTEST_WAIT = 0.001


class DatabaseUnavailable(Exception):
    """No connection could be opened; the cause is the last connect's error, if there is one yet."""


class DeadlineExceeded(Exception):
    """The request's deadline passed."""


@dataclass(frozen=True)
class PoolCounts:
    """Connections that are idle and in use, who waits for one, and how many there may be."""

    idle: int
    used: int
    pending: int
    most: int


class Pool:
    """Connections to one target. Safe to share between threads.

    Open it after the fork and close it on the way out. ``greet`` is called with each new connection that it
    keeps. ``server`` is which of the two it leads to.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        greet: Callable[[Connection], None],
        meter: Meter = NO_METER,
        server: str = PRIMARY,
    ) -> None:
        self.meter = meter
        self._connection_class = LakebaseConnection if server == PRIMARY else ReplicaConnection
        self._settings = settings
        self._target = target
        self._greet = greet
        self._closing = threading.Event()
        self._starting_again = threading.Lock()
        self._asked_at = time.monotonic()
        self._relief_ends: float | None = None
        # As many turns as connections: psycopg_pool, which serves whoever came first, then has no queue but
        # for connections that are being opened.
        connections = settings.pool_size + settings.pool_max_overflow
        self._turns = Turns(range(connections))
        self._places = Places(settings.most_borrowing, settings.most_borrowing_of_one, always=connections)
        self._long_turns = Turns(range(settings.most_long))
        self._long_places = Places(
            settings.most_long_waiting, settings.most_long_waiting_of_one, always=settings.most_long
        )
        self.connects = ConnectLog(meter, "" if server == PRIMARY else server)
        self._pool = ConnectionPool(
            kwargs=self._connect_arguments,
            connection_class=self._connection_class,
            configure=self._configure,
            min_size=settings.pool_size,
            max_size=connections,
            max_lifetime=settings.pool_recycle_interval,
            max_idle=settings.pool_idle_timeout,
            # Its own pauses double up to minutes: give up at once, and start again by our own.
            reconnect_timeout=0,
            reconnect_failed=self._start_again,
            name="lakebase",
            open=False,
        )

    def open(self) -> None:
        """Start connecting in the background; returns at once."""
        self._pool.open()

    def close(self) -> None:
        """Close every connection. Whoever still waits for one gets ``PoolClosed``."""
        self._closing.set()
        self._pool.close()

    @property
    def asked_at(self) -> float:
        """When a request last asked for a connection, by ``time.monotonic()``."""
        return self._asked_at

    @property
    def is_asked_for(self) -> bool:
        """Whether it goes on trying to connect: a request has asked for a connection lately."""
        return time.monotonic() - self._asked_at < PATIENCE

    def note_use(self) -> None:
        """A request uses a connection that is not of the pool."""
        self._asked_at = time.monotonic()

    def stats(self) -> dict[str, int]:
        """The pool's counters, as psycopg_pool names them."""
        stats = self._pool.get_stats()
        stats["requests_waiting"] += self._turns.waiting
        stats["requests_errors"] = stats.get("requests_errors", 0) + self._turns.given_up
        return stats

    def count(self) -> "PoolCounts":
        """How its connections are at the moment. Does not block."""
        stats = self._pool.get_stats()
        opening = stats["requests_waiting"]
        return PoolCounts(
            idle=stats["pool_available"],
            # Of those whose turn has come some wait for a connection that is being opened.
            used=max(0, self._turns.lent - opening),
            pending=self._turns.waiting + opening,
            most=self._pool.max_size,
        )

    def borrow(self, flow: str, deadline: float) -> LakebaseConnection:
        """A connection that was alive a moment ago. Give it back, or discard it.

        One that is free goes to the flow that has the fewest. Waits until the deadline at the most, for
        ``DB_POOL_TIMEOUT`` when all are in use, and as long as an outage is younger than ``WAKE_BUDGET``.
        Raises ``DeadlineExceeded``, ``DatabaseUnavailable``, and psycopg_pool's ``PoolTimeout`` and
        ``TooManyRequests``.
        """
        asked_at = time.monotonic()
        asked_before = self._asked_at
        if flow != UPKEEP:
            self._asked_at = asked_at
        self._end_relief()
        # After so long without a request nobody tries to connect any more: this one has to set it off.
        if asked_at - asked_before < PATIENCE and self._is_given_up():
            raise DatabaseUnavailable("no connection could be opened") from self.connects.error
        if flow not in OWN_FLOWS and not self._places.take(flow):
            self._judge(TooManyRequests("the queue is full"), deadline, asked_at)
        turn = self._turns.ask(flow)
        try:
            connection = self._wait_for_connection(turn, deadline, asked_at)
        except BaseException:
            self._end(turn)
            raise
        connection.turn = turn
        return connection

    @contextmanager
    def wait_long(self, flow: str, deadline: float) -> Iterator[None]:
        """Count as one who waits for what may take long, as few may. Raises as ``borrow`` does."""
        if not self._long_places.take(flow):
            self._judge(TooManyRequests("the queue for what takes long is full"), deadline, time.monotonic())
        try:
            yield
        finally:
            self._long_places.leave(flow)

    @contextmanager
    def take_long_turn(self, flow: str, deadline: float) -> Iterator[None]:
        """Be one of the few who borrow a connection for what may take long. Raises as ``borrow`` does."""
        with ExitStack() as held:
            with self.wait_long(flow, deadline):
                longest = min(self._settings.pool_timeout, deadline - time.monotonic())
                try:
                    held.enter_context(self._long_turns.take(flow, longest))
                except TimeoutError:
                    if time.monotonic() >= deadline:
                        raise DeadlineExceeded from None
                    raise PoolTimeout("no turn for what takes long") from None
            yield

    def give_back(self, connection: LakebaseConnection) -> None:
        """End a use of the connection."""
        turn = connection.turn
        self._pool.putconn(connection)
        self._end(turn)

    def note_success(self) -> None:
        """A connection served: the database is there, even if it takes no more connections."""
        self.connects.failing_since = None

    def discard(self, connection: LakebaseConnection) -> None:
        """End a use of the connection and have it replaced."""
        turn = connection.turn
        self._replace(connection)
        self._end(turn)

    def connect(self) -> LakebaseConnection:
        """A connection that is not of the pool: whoever has it closes it.

        Raises psycopg's errors and ``CredentialError``.
        """
        connection = self._connection_class.connect(**self._connect_arguments())
        self._note_connection(connection)
        return connection

    def _end(self, turn: Turn[int]) -> None:
        turn.end()
        if turn.flow not in OWN_FLOWS:
            self._places.leave(turn.flow)

    def _wait_for_connection(self, turn: Turn[int], deadline: float, asked_at: float) -> LakebaseConnection:
        patience_ends = min(deadline, asked_at + self._settings.pool_timeout)
        while True:
            try:
                turn.wait(self._longest_wait(patience_ends))
                connection = self._pool.getconn(self._longest_wait(patience_ends))
            except (PoolTimeout, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    error = PoolTimeout("all connections stayed in use")
                self._judge(error, deadline, patience_ends)
                continue
            if _is_alive(connection):
                return connection
            self._replace(connection)

    def _replace(self, connection: LakebaseConnection) -> None:
        connection.close()
        self._pool.putconn(connection)

    def _is_given_up(self) -> bool:
        """Whether an outage has outlasted the budget and no connection is left to wait for."""
        outage_began = self.connects.failing_since
        return (
            outage_began is not None
            and time.monotonic() >= outage_began + self._settings.wake_budget
            and self.stats()["pool_available"] == 0
        )

    def _longest_wait(self, patience_ends: float) -> float:
        now = time.monotonic()
        budget = self._settings.wake_budget
        outage_began = self.connects.failing_since
        # Looked at again after a budget at the latest: an outage may begin during the wait.
        budget_ends = now + max(budget, LONGEST_PAUSE) if outage_began is None else outage_began + budget
        budget_ends += SPREAD * random.random()
        return max(min(patience_ends, budget_ends) - now, SHORTEST_WAIT)

    def _judge(self, error: Exception, deadline: float, patience_ends: float) -> None:
        """Raise what a wait in vain means; return if it is to go on."""
        now = time.monotonic()
        outage_began = self.connects.failing_since
        if outage_began is not None and now >= outage_began + self._settings.wake_budget:
            raise DatabaseUnavailable("no connection could be opened") from self.connects.error
        if now >= deadline:
            raise DeadlineExceeded from None
        is_over = isinstance(error, TooManyRequests) or now >= patience_ends
        if is_over and (outage_began is not None or not self.connects.has_connected):
            raise DatabaseUnavailable("no connection could be opened yet") from self.connects.error
        if is_over:
            raise error

    def _connect_arguments(self) -> dict[str, Any]:
        try:
            arguments = self._target.connect_arguments()
        except CredentialError as error:
            self.connects.note_failure(error, time.monotonic())
            raise
        return {**arguments, "on_failure": self._note_failure}

    def _configure(self, connection: LakebaseConnection) -> None:
        self._greet(connection)
        self._note_connection(connection)

    def _note_connection(self, connection: LakebaseConnection) -> None:
        connection.statement_timeout = round(self._settings.command_timeout * 1000)
        self.connects.note_success(connection.opened_in)

    def _note_failure(self, error: psycopg.Error, password: str, began: float) -> None:
        self.connects.note_failure(error, began)
        failure = classify(error)
        if failure in MAY_BE_PASSWORD:
            self._target.reject_password(password)
        if failure in MAY_BE_FULL:
            self._begin_relief()

    def _start_again(self, pool: ConnectionPool[LakebaseConnection]) -> None:
        """Begin a new attempt to connect after a pause. Runs on a thread of the pool."""
        if not self._starting_again.acquire(blocking=False):
            return  # another of the pool's threads does it
        try:
            self._closing.wait(LONGEST_PAUSE * random.uniform(0.5, 1))
            # With an idle connection there is no need, and checking it could hang.
            if self.is_asked_for and not self._closing.is_set() and not pool.get_stats()["pool_available"]:
                pool.check()
        finally:
            self._starting_again.release()

    def _begin_relief(self) -> None:
        """Ask for half as many connections for a while, and half of that if it is still too many."""
        self._relief_ends = time.monotonic() + RELIEF
        most = max(1, self._pool.max_size // 2)
        self._pool.resize(min(self._settings.pool_size, most), most)
        self._turns.limit(most)

    def _end_relief(self) -> None:
        if self._relief_ends is not None and self._asked_at > self._relief_ends:
            self._relief_ends = None
            size = self._settings.pool_size
            self._pool.resize(size, size + self._settings.pool_max_overflow)
            self._turns.limit(self._pool.max_size)


def _is_alive(connection: LakebaseConnection) -> bool:
    """Whether nothing has come in since the last use: what comes in unasked is a goodbye."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
