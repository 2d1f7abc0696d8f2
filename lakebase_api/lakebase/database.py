"""The one place that borrows a connection."""

import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from psycopg_pool import ConnectionPool, PoolTimeout

from lakebase_api.lakebase.pool import Connection, ConnectLog, LoggedConnection

P = ParamSpec("P")
T = TypeVar("T")

# Called after each use of a connection with the seconds waited for it and the seconds it was held.
Recorder = Callable[[float, float], None]


class DatabaseUnavailable(Exception):
    """No connection could be opened; the cause is the last connect's error."""


class Database:
    """Runs queries on pooled connections. Safe to share between threads once open."""

    def __init__(
        self, pool: ConnectionPool[LoggedConnection], connect_log: ConnectLog, record: Recorder
    ) -> None:
        self._pool = pool
        self._record = record
        self.connect_log = connect_log

    def open(self) -> None:
        """Start connecting in the background; returns at once. Call it after the fork."""
        self._pool.open()

    def close(self) -> None:
        """Close every connection. Requests still waiting for one get ``PoolClosed``."""
        self._pool.close()

    def run(
        self,
        query: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """The result of ``query(connection, …)``, with the connection back in the pool.

        Raises ``DatabaseUnavailable`` when no connection can be opened, psycopg_pool's ``PoolTimeout``
        when all stayed in use, and whatever the query raises.
        """
        started = time.perf_counter()
        try:
            connection = self._pool.getconn()
        except PoolTimeout:
            self._record(time.perf_counter() - started, 0.0)
            if self.connect_log.error or not self.connect_log.has_connected:
                raise DatabaseUnavailable("no connection could be opened") from self.connect_log.error
            raise
        borrowed = time.perf_counter()
        try:
            return query(connection, *args, **kwargs)
        finally:
            self._pool.putconn(connection)
            self._record(borrowed - started, time.perf_counter() - borrowed)

    def stats(self) -> dict[str, int]:
        """The pool's counters, as psycopg_pool names them."""
        return self._pool.get_stats()
