"""Room for the few connections that are not of the pool."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import psycopg

from lakebase_api.lakebase.connection import LakebaseConnection
from lakebase_api.lakebase.copy import end_statement
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.pool import LONGEST_PAUSE, DatabaseUnavailable, Pool
from lakebase_api.lakebase.setup_faults import SetupLog
from lakebase_api.lakebase.turns import Turns
from lakebase_api.settings import Settings

# Whose work it is to close the connections.
CLOSING = "closing"


class Slot:
    """Room for a connection, and whose work it was made ready for last."""

    connection: LakebaseConnection | None = None
    work: object = None

    def close(self) -> None:
        """End what runs on the connection, and close it."""
        connection, self.connection, self.work = self.connection, None, None
        if connection is not None:
            # The server looks for its client when it has rows to send: until then it would go on.
            with suppress(psycopg.Error):
                end_statement(connection)
            connection.close()


class Slots:
    """Room for a few connections to one server, whose tables ``setups`` are of. Thread-safe."""

    def __init__(self, settings: Settings, pool: Pool, setups: Mapping[str, SetupLog]) -> None:
        self._slots = [Slot() for _ in range(settings.export_concurrency)]
        self._turns = Turns(self._slots)
        self._wake_budget = settings.wake_budget
        self._is_closed = False
        self.pool = pool
        self.setups = setups

    @contextmanager
    def lend(self, flow: str, seconds: float) -> Iterator[Slot]:
        """A slot, which nobody else has meanwhile. Raises ``TimeoutError`` after so many seconds."""
        with self._turns.take(flow, seconds) as slot:
            try:
                yield slot
            finally:
                if self._is_closed:
                    slot.close()

    def connect(self, deadline: float) -> LakebaseConnection:
        """A new connection, as soon as there is one: an outage may be as old as the wake budget.

        Raises ``DatabaseUnavailable``.
        """
        began = time.monotonic()
        while True:
            try:
                return self.pool.connect()
            except (psycopg.OperationalError, CredentialError) as error:
                outage_began = max(began, self.pool.connects.failing_since or began)
                if time.monotonic() >= min(outage_began + self._wake_budget, deadline):
                    raise DatabaseUnavailable("no connection could be opened") from error
                time.sleep(LONGEST_PAUSE * random.uniform(0.5, 1))

    def close(self) -> None:
        """Close every connection; one that is in use, as soon as its query has ended."""
        self._is_closed = True
        with ExitStack() as held, suppress(TimeoutError):
            while True:
                held.enter_context(self.lend(CLOSING, 0))

    def close_idle(self) -> None:
        """Close every connection while nobody uses one: open, they keep a compute awake."""
        for slot in self._slots:
            slot.close()
