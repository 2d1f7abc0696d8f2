"""The connection pool, and how its last attempt to connect ended."""

from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.target import Target
from lakebase_api.settings import Settings

# The pool doubles the pause between attempts until this many seconds have passed: a small value
# keeps the pauses short after a long outage.
RECONNECT_TIMEOUT = 5.0

Connection = psycopg.Connection[TupleRow]


@dataclass
class ConnectLog:
    """How the last attempt to connect ended. Safe to read from any thread."""

    error: psycopg.Error | CredentialError | None = None
    has_connected: bool = False


class LoggedConnection(Connection):
    """A connection that notes how connecting ended.

    The pool connects on threads of its own; whoever waits for a connection only sees a timeout.
    """

    @classmethod
    def connect(cls, conninfo: str = "", *, connect_log: ConnectLog, **arguments: Any) -> Self:  # type: ignore[override]
        """Connect as psycopg does and note the outcome in ``connect_log``."""
        try:
            connection = super().connect(conninfo, **arguments)
        except psycopg.Error as error:
            connect_log.error = error
            raise
        connect_log.error = None
        connect_log.has_connected = True
        return connection


def build_pool(
    settings: Settings, target: Target, connect_log: ConnectLog
) -> ConnectionPool[LoggedConnection]:
    """A pool of connections to the target, not yet open: open it after the fork."""

    def connect_arguments() -> dict[str, Any]:
        try:
            return {"connect_log": connect_log, **target.connect_arguments()}
        except CredentialError as error:
            connect_log.error = error
            raise

    return ConnectionPool(
        kwargs=connect_arguments,
        connection_class=LoggedConnection,
        min_size=settings.pool_size,
        max_size=settings.pool_size + settings.pool_max_overflow,
        timeout=settings.pool_timeout,
        max_lifetime=settings.pool_recycle_interval,
        reconnect_timeout=RECONNECT_TIMEOUT,
        # Having given up, begin again: the pool comes back by itself, with nobody asking.
        reconnect_failed=lambda pool: pool.check(),
        name="lakebase",
        open=False,
    )
