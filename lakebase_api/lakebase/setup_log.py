"""What a statement that met a missing grant or table is answered with: what is wrong, and what mends it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg import errors

from lakebase_api.lakebase.checks import Blocks, Check, State, failed
from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.failures import first_line

logger = logging.getLogger(__name__)

FAULTS: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: "a grant is missing",
    errors.UndefinedTable: "the table is missing",
    errors.InvalidSchemaName: "the schema is missing",
    errors.UndefinedColumn: "the table has other columns",
}
SETUP_FAULTS = tuple(FAULTS)
# Seconds for which what was found holds: under traffic every request meets the same fault.
INTERVAL = 1.0
# Seconds to wait for another thread that is looking.
PATIENCE = 1.0

# Looks at the database on a connection that the role of the app opened. Raises psycopg's errors.
Examine = Callable[[Connection], Sequence[Check]]


class NotSetUp(Exception):
    """A statement met one of ``SETUP_FAULTS``. ``checks`` are what explains it, the first one first."""

    def __init__(self, checks: Sequence[Check]) -> None:
        super().__init__("; ".join(check.line for check in checks))
        self.checks = checks


class SetupLog:
    """How the database was last found to be set up. Safe to use from any thread."""

    def __init__(self, examine: Examine) -> None:
        self._examine = examine
        self._looking = threading.Lock()
        self._looked_at = float("-inf")
        self._found: Sequence[Check] = ()
        self._failing: Check | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong, without a name of a host, a role or a table; ``None`` while nothing is."""
        failing = self._failing
        return failing.fault if failing else None

    def examine(self, connection: Connection) -> Sequence[Check]:
        """Look now, and note what was found. Raises psycopg's errors."""
        found = self._examine(connection)
        self._failing = next((check for check in found if _explains(check, is_change=True)), None)
        return found

    def note_success(self, *, is_change: bool) -> None:
        """A query went well. What keeps changes from being made is not disproved by a read."""
        failing = self._failing
        if failing and (is_change or failing.blocks is Blocks.EVERYTHING):
            self._failing = None

    def diagnose(self, connection: Connection, error: psycopg.Error, *, is_change: bool) -> NotSetUp:
        """Say what is behind one of ``SETUP_FAULTS``, looking on the very connection that met it.

        However many ask, one of them looks in ``INTERVAL`` seconds.
        """
        found = self._look_now_and_then(connection)
        checks = [check for check in found if _explains(check, is_change=is_change)]
        checks = checks or [_repeat(error, is_change=is_change)]
        self._failing = checks[0]
        return NotSetUp(checks)

    def _look_now_and_then(self, connection: Connection) -> Sequence[Check]:
        if not self._looking.acquire(timeout=PATIENCE):
            return ()
        try:
            if time.monotonic() >= self._looked_at + INTERVAL:
                self._found = self._look(connection)
                self._looked_at = time.monotonic()
            return self._found
        finally:
            self._looking.release()

    def _look(self, connection: Connection) -> Sequence[Check]:
        try:
            return self._examine(connection)
        except psycopg.Error as error:
            # What is being explained matters more.
            logger.warning("Looking for what is wrong failed: %s", first_line(error))
            return ()


def _explains(check: Check, *, is_change: bool) -> bool:
    """Whether a failing check can be why a request fails."""
    blocking = (Blocks.CHANGES, Blocks.EVERYTHING) if is_change else (Blocks.EVERYTHING,)
    return check.state is State.FAILED and check.blocks in blocking


def _repeat(error: psycopg.Error, *, is_change: bool) -> Check:
    """What the database said, where nothing was found that explains it."""
    return failed(
        "database",
        error.diag.message_primary or first_line(error),
        mend="Run `python -m lakebase_api doctor` as the app",
        fault=next(words for kind, words in FAULTS.items() if isinstance(error, kind)),
        blocks=Blocks.CHANGES if is_change else Blocks.EVERYTHING,
    )
