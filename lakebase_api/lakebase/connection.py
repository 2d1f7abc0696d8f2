"""Connecting, and what is known of the last attempt."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg import RawCursor
from psycopg.rows import TupleRow

from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import classify, first_line
from lakebase_api.lakebase.meter import NO_METER, Meter
from lakebase_api.lakebase.session import mark_options, prepare_session
from lakebase_api.lakebase.turns import Turn

logger = logging.getLogger(__name__)

# Seconds between two lines in the log about one outage.
REMINDER = 60.0
# Seconds from which on it was a wake that a connect waited for: to a database that is awake it takes a small
# part of that, and the proxy of one that sleeps holds the connect until it is up.
SLOW_CONNECT = 1.0
# What the servers are called: the one that takes changes, and one that follows it.
PRIMARY, REPLICA = "primary", "replica"
# What is to be looked at where a replica cannot be reached.
OF_REPLICA = "The primary answers meanwhile; see LAKEBASE_READ_ENDPOINT, or PGHOST_READ and PGPORT_READ"
# Of one text for all names, so that it is prepared once.
SET_NAME = b"SELECT pg_catalog.set_config('application_name', $1, false)"

Connection = psycopg.Connection[TupleRow]


class ConnectLog:
    """How connecting goes. Safe to use from any thread; times are of ``time.monotonic()``.

    ``meter`` is told of connects, and of each wake. ``server`` is what the log calls it, where there are two.
    """

    def __init__(self, meter: Meter = NO_METER, server: str = "") -> None:
        self._to_server = f" to the {server}" if server else ""
        self._lock = threading.Lock()
        self._meter = meter
        self.error: psycopg.Error | CredentialError | None = None
        # Since when the database is away; not while connections that there are still serve.
        self.failing_since: float | None = None
        self.has_connected = False
        # How often the database came back after it had been away.
        self.wakes = 0
        self._connected_at = self._said_at = float("-inf")
        # When the first attempt of the outage began.
        self._outage_began = 0.0

    def note_failure(self, error: psycopg.Error | CredentialError, began: float) -> None:
        """An attempt failed. Said in the log at first, and then once a minute or when the reason changes.

        One that ``began`` before another succeeded says nothing of the database as it is now.
        """
        now = time.monotonic()
        failure = classify(error)
        with self._lock:
            if began < self._connected_at:
                return
            is_news = self.error is None or failure != classify(self.error)
            is_due = is_news or now >= self._said_at + REMINDER
            self.error = error
            if self.failing_since is None:
                self.failing_since, self._outage_began = now, began
            if is_due:
                self._said_at = now
        if is_due:
            logger.warning(
                "Connecting%s failed: %s. %s. Trying again until it succeeds.",
                self._to_server,
                first_line(error),
                OF_REPLICA if self._to_server else failure.mend,
            )

    def note_success(self, took: float) -> None:
        """The database is there: an outage is over. This connect ``took`` so many seconds."""
        now = time.monotonic()
        with self._lock:
            has_failed = self.error is not None
            asleep_since = self._find_sleep(now - took, now)
            self.error = self.failing_since = None
            self.has_connected = True
            self._connected_at = now
            self.wakes += asleep_since is not None
        self._meter.note_connect(took)
        if asleep_since is not None:
            self._meter.note_wake(asleep_since, now)
        if has_failed:
            logger.info("Connected%s again", self._to_server)

    def _find_sleep(self, began: float, now: float) -> float | None:
        """Since when the database was away until now, if it was: no other connect succeeded meanwhile."""
        if self.failing_since is not None:
            return min(self._outage_began, began)
        return began if now - began >= SLOW_CONNECT and began >= self._connected_at else None


@dataclass
class Position:
    """How far a replica is in the write-ahead log, as one of its connections knows it.

    ``demanded`` is how far it has to be for the next statement, until that is known; ``reached`` how far it
    was before the latest that this was asked for. Both are texts of PostgreSQL's ``pg_lsn``.
    """

    demanded: str | None = None
    reached: str = ""


class LakebaseConnection(Connection):
    """A connection whose session is as ``session`` says, and that tells how connecting failed.

    The pool connects on threads of its own; whoever waits for a connection only sees a timeout.
    """

    # The statement timeout in force, in milliseconds.
    statement_timeout: int
    # Seconds that it took to open it.
    opened_in: float
    # The turn of whoever has it from the pool.
    turn: Turn[int]
    position: Position | None = None
    # What it is lent for.
    operation = ""
    # The session's name as far as it was set here, and as it is to be for the next statement.
    name = wanted_name = ""

    @classmethod
    def connect(  # type: ignore[override]
        cls,
        conninfo: str = "",
        *,
        on_failure: Callable[[psycopg.Error, str, float], None],
        options: str,
        **arguments: Any,
    ) -> Self:
        """Connect as psycopg does; ``Unsuitable`` is among the errors.

        ``on_failure`` gets the error before it is raised, the password, and when the attempt began.
        """
        began = time.monotonic()
        marked, mark = mark_options(options)
        try:
            connection = super().connect(conninfo, options=marked, **arguments)
            try:
                prepare_session(connection, mark)
            except BaseException:
                connection.close()
                raise
        except psycopg.Error as error:
            on_failure(error, arguments["password"], began)
            raise
        connection.opened_in = time.monotonic() - began
        return connection

    @property
    def has_wanted_name(self) -> bool:
        """Whether the session has the name that it is to have."""
        return self.name == self.wanted_name

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[TupleRow]:
        """As psycopg does, in a session of the wanted name."""
        if not self.has_wanted_name:
            # Not at once with the query, which may be several statements.
            RawCursor(self).execute(SET_NAME, (self.wanted_name,))
            self.name = self.wanted_name
        return super().execute(query, params, **options)


class ReplicaConnection(LakebaseConnection):
    """A connection to a replica, which may be asked how far that is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.position = Position()


def is_to_replica(connection: Connection) -> bool:
    """Whether it is a replica that it leads to."""
    return isinstance(connection, ReplicaConnection)
