"""Connecting, and what is known of the last attempt."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import TupleRow

from lakebase_api.lakebase.credentials import CredentialError

logger = logging.getLogger(__name__)

# Seconds between two lines in the log about one outage.
REMINDER = 60.0

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True)
class Reason:
    """Why connecting fails: ``said`` to anybody who asks the probe, and in the log what may mend it."""

    said: str
    mend: str


LOGIN_REFUSED = Reason(
    "the login was refused",
    "See that PGUSER, or in its absence DATABRICKS_CLIENT_ID, is a role of the database and the app's own; "
    "and PGPASSWORD, where there is one.",
)
NO_CONNECTION_LEFT = Reason(
    "the database has no connection left", "See WEB_CONCURRENCY, DB_POOL_SIZE and DB_MAX_OVERFLOW."
)
NO_ANSWER = Reason("the database did not answer", "See PGHOST and PGPORT.")
NO_SUCH_HOST = Reason("the host of the database is not known", "See PGHOST.")
NO_TOKEN = Reason(
    "the workspace gave no token, host or user", "See DATABRICKS_HOST and what the app may do there."
)
OTHER = Reason("the last connect failed", "See PGHOST, PGPORT and PGSSLMODE.")

# psycopg has no SQLSTATE for a failed login: only the text tells, here as PostgreSQL and libpq word it. The
# first that is found counts. https://github.com/postgres/postgres/blob/REL_16_STABLE/src/backend/libpq/auth.c
REASONS = {
    "authentication failed": LOGIN_REFUSED,
    "too many clients": NO_CONNECTION_LEFT,
    "too many connections": NO_CONNECTION_LEFT,
    "connection slots are reserved": NO_CONNECTION_LEFT,
    "is starting up": Reason("the database is starting up", "That mends itself."),
    "is shutting down": Reason("the database is shutting down", "That mends itself."),
    "certificate": Reason(
        "the certificate of the database was not accepted", "See PGHOST, PGSSLMODE and PGSSLROOTCERT."
    ),
    "does not exist": Reason("the database or the role does not exist", "See PGDATABASE and PGUSER."),
    "ssl": Reason("TLS could not be agreed on", "See PGSSLMODE."),
    "timeout expired": NO_ANSWER,
    "unreachable": NO_ANSWER,
    "no route to host": NO_ANSWER,
    "refused": Reason(
        "the database refused the connection", "See PGHOST and PGPORT, and whether its compute is stopped."
    ),
    "resolve host": NO_SUCH_HOST,
}


def find_reason(error: psycopg.Error | CredentialError) -> Reason:
    """Why an attempt to connect failed."""
    if isinstance(error, CredentialError):
        return NO_TOKEN
    text = str(error).lower()
    return next((reason for words, reason in REASONS.items() if words in text), OTHER)


def first_line(error: Exception) -> str:
    """The error in one line, for the log."""
    return next(iter(str(error).splitlines()), type(error).__name__)


class ConnectLog:
    """How connecting goes. Safe to use from any thread; times are of ``time.monotonic()``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.error: psycopg.Error | CredentialError | None = None
        # Since when the database is away; not while connections that there are still serve.
        self.failing_since: float | None = None
        self.has_connected = False
        self._said_at = float("-inf")

    def note_failure(self, error: psycopg.Error | CredentialError) -> None:
        """An attempt failed. Said in the log at first, and then once a minute or when the reason changes."""
        now = time.monotonic()
        reason = find_reason(error)
        with self._lock:
            is_news = self.error is None or reason != find_reason(self.error)
            is_due = is_news or now >= self._said_at + REMINDER
            self.error = error
            self.failing_since = self.failing_since or now
            if is_due:
                self._said_at = now
        if is_due:
            logger.warning(
                "Connecting failed: %s. %s Trying again until it succeeds.", first_line(error), reason.mend
            )

    def note_success(self) -> None:
        """The database is there: an outage is over."""
        with self._lock:
            has_failed = self.error is not None
            self.error = self.failing_since = None
            self.has_connected = True
        if has_failed:
            logger.info("Connected again")


class LakebaseConnection(Connection):
    """A connection that tells how connecting failed.

    The pool connects on threads of its own; whoever waits for a connection only sees a timeout.
    """

    # The statement timeout in force, in milliseconds.
    statement_timeout: int

    @classmethod
    def connect(  # type: ignore[override]
        cls, conninfo: str = "", *, on_failure: Callable[[psycopg.Error, str], None], **arguments: Any
    ) -> Self:
        """Connect as psycopg does; ``on_failure`` gets the error and the password before it is raised."""
        try:
            return super().connect(conninfo, **arguments)
        except psycopg.Error as error:
            on_failure(error, arguments["password"])
            raise
