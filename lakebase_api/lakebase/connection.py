"""Connecting, and what is known of the last attempt."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import psycopg
from psycopg import RawCursor
from psycopg.rows import TupleRow

from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import classify, first_line
from lakebase_api.lakebase.session import mark_options, prepare_session
from lakebase_api.lakebase.turns import Turn

logger = logging.getLogger(__name__)

# Seconds between two lines in the log about one outage.
REMINDER = 60.0
# Of one text for all names, so that it is prepared once.
SET_NAME = b"SELECT pg_catalog.set_config('application_name', $1, false)"

Connection = psycopg.Connection[TupleRow]


class ConnectLog:
    """How connecting goes. Safe to use from any thread; times are of ``time.monotonic()``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.error: psycopg.Error | CredentialError | None = None
        # Since when the database is away; not while connections that there are still serve.
        self.failing_since: float | None = None
        self.has_connected = False
        # How often the database came back after it had been away.
        self.wakes = 0
        self._connected_at = self._said_at = float("-inf")

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
            self.failing_since = self.failing_since or now
            if is_due:
                self._said_at = now
        if is_due:
            logger.warning(
                "Connecting failed: %s. %s. Trying again until it succeeds.", first_line(error), failure.mend
            )

    def note_success(self) -> None:
        """The database is there: an outage is over."""
        with self._lock:
            has_failed = self.error is not None
            self.error = self.failing_since = None
            self.has_connected = True
            self._connected_at = time.monotonic()
            self.wakes += has_failed
        if has_failed:
            logger.info("Connected again")


class LakebaseConnection(Connection):
    """A connection whose session is as ``session`` says, and that tells how connecting failed.

    The pool connects on threads of its own; whoever waits for a connection only sees a timeout.
    """

    # The statement timeout in force, in milliseconds.
    statement_timeout: int
    # The turn of whoever has it from the pool.
    turn: Turn[int]
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
