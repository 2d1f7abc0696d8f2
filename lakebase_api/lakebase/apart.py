"""Connections that are not the pool's, for work that takes long: few, and each for one piece of work."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg import errors

from lakebase_api.lakebase.connecting import Connection, LakebaseConnection
from lakebase_api.lakebase.copying import end_statement
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.database import CONFLICTS
from lakebase_api.lakebase.pool import LONGEST_PAUSE, DatabaseUnavailable, Pool
from lakebase_api.lakebase.setup_log import SETUP_FAULTS, SetupLog
from lakebase_api.lakebase.watchdog import Watchdog

T = TypeVar("T")

# How often a query is tried again whose connection is lost, or that got into the way of other work.
MOST_RETRIES = 5
# Seconds before it is tried again, times the tries so far.
PAUSE = 0.05

# Makes a new connection ready for the work. Raises psycopg's errors.
Prepare = Callable[[Connection], None]


class AllInUse(Exception):
    """There are as many connections apart as there may be."""


class ConnectionsApart:
    """At most ``most`` connections beside those of the pool. Safe to share between threads once open."""

    def __init__(self, most: int, wake_budget: float, pool: Pool, setup: SetupLog) -> None:
        self._places = threading.BoundedSemaphore(most) if most else None
        self.wake_budget = wake_budget
        self.pool = pool
        self.setup = setup
        self.watchdog = Watchdog()

    def open(self) -> None:
        """Start watching. Call it after the fork."""
        self.watchdog.open()

    def close(self) -> None:
        """Stop watching."""
        self.watchdog.close()

    @contextmanager
    def reserve(self, prepare: Prepare, deadline: float) -> Iterator["ConnectionApart"]:
        """The right to a connection, which is opened by its first use. Raises ``AllInUse``.

        Until ``deadline``, a time of ``time.monotonic()``, it is opened anew when it is lost.
        """
        if self._places is None or not self._places.acquire(blocking=False):
            raise AllInUse
        connection = ConnectionApart(self, prepare, deadline)
        try:
            yield connection
        finally:
            connection.close()
            self._places.release()


class ConnectionApart:
    """One connection, for one thread. Closed as soon as the work is done: open, it keeps a compute awake."""

    def __init__(self, all_apart: ConnectionsApart, prepare: Prepare, deadline: float) -> None:
        self._all = all_apart
        self._prepare = prepare
        self._deadline = deadline
        self._connection: LakebaseConnection | None = None
        # Seconds that connecting took, and that queries took.
        self.waited = self.held = 0.0

    def read(self, query: Callable[[Connection], T], longest: float) -> T:
        """The result of the query, tried again as long as it may; each try takes so many seconds at most.

        Raises ``DatabaseUnavailable``, and what the query raises, except that ``NotSetUp`` takes the place of
        ``SETUP_FAULTS``. What is not psycopg's ends the connection.
        """
        tries = 0
        while True:
            try:
                return self._use(query, longest)
            except psycopg.OperationalError as error:
                is_lost = self._connection is None
                may_repeat = tries < MOST_RETRIES and time.monotonic() < self._deadline
                if not may_repeat or not (is_lost or isinstance(error, CONFLICTS)):
                    raise
            time.sleep(PAUSE * tries * random.uniform(0.5, 1))
            tries += 1

    def close(self) -> None:
        """End what runs on the connection, and close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # The server looks for its client when it has rows to send: until then it would go on.
            with suppress(psycopg.Error):
                end_statement(connection)
            connection.close()

    def _use(self, query: Callable[[Connection], T], longest: float) -> T:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        began = time.monotonic()
        self._all.watchdog.watch(connection, began + longest)
        try:
            result = query(connection)
            self._all.setup.note_success(is_change=False)
            return result
        except SETUP_FAULTS as error:
            raise self._all.setup.diagnose(connection, error, is_change=False) from error
        except psycopg.Error as error:
            if connection.closed or isinstance(error, errors.AdminShutdown | errors.CrashShutdown):
                self.close()
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self._all.watchdog.release(connection)
            self.held += time.monotonic() - began

    def _connect(self) -> LakebaseConnection:
        """A new connection, as soon as there is one: an outage may be as old as the wake budget."""
        began = time.monotonic()
        try:
            while True:
                try:
                    connection = self._all.pool.connect()
                except (psycopg.OperationalError, CredentialError) as error:
                    outage_began = max(began, self._all.pool.connects.failing_since or began)
                    if time.monotonic() >= min(outage_began + self._all.wake_budget, self._deadline):
                        raise DatabaseUnavailable("no connection could be opened") from error
                    time.sleep(LONGEST_PAUSE * random.uniform(0.5, 1))
                else:
                    break
        finally:
            self.waited += time.monotonic() - began
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection
