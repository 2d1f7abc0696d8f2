"""Whether the database is set up for a declared table: its requests are refused while it is not."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import Blocks, Check, State, failed

logger = logging.getLogger(__name__)

FAULTS: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: "a grant is missing",
    errors.UndefinedTable: "the table is missing",
    errors.WrongObjectType: "the table is missing",
    errors.InvalidSchemaName: "the schema is missing",
    errors.UndefinedColumn: "the table has other columns",
    errors.UndefinedFunction: "the table has other columns",
    errors.UndefinedObject: "the table has other columns",
    errors.DatatypeMismatch: "the table has other columns",
    errors.CannotCoerce: "the table has other columns",
}
SETUP_FAULTS = tuple(FAULTS)
NOT_UNIQUE = "the key is not unique"
# Seconds for which what was found holds: under traffic every request meets the same fault.
INTERVAL = 1.0
# What takes longer than so many seconds is done again after as many times as long: it is a small part of the
# time at the most.
QUICK = 0.05
REST = 20
# Seconds to wait for another thread that is looking.
PATIENCE = 1.0
# How often it is looked while the table is being changed; then the statements have to say what they meet.
MOST_LOOKS = 3
# In place of a mark, where what was found may be of another table: it is looked again.
NO_MARK = ""
# Seconds for which a table that was found at fault is known to be: it may have been mended since.
LAST_KNOWN = 60.0

# What a database may hold that looking at it does not expect.
FAILED_LOOKS = (psycopg.DataError, psycopg.InternalError, psycopg.ProgrammingError, ValueError, LookupError)


class KeyNotUnique(Exception):
    """A query found a key in two rows, or a row without one: going on after it would leave a row out."""


# What a query may meet when the database is not set up.
FAULTS_MET: tuple[type[Exception], ...] = (*SETUP_FAULTS, KeyNotUnique)

# Looks at the table on a connection that the role of the app opened. Raises psycopg's errors.
Examine = Callable[[Connection], Sequence[Check]]
# In one short statement: gives another mark once the table is defined in another way.
FindMark = Callable[[Connection], str]


class NotSetUp(Exception):
    """The database is not set up for the request. ``checks`` are what explains it, the first one first.

    ``is_explained``: whether they were found by looking, and are not just what a statement met.
    """

    def __init__(self, checks: Sequence[Check], *, is_explained: bool = True) -> None:
        super().__init__("; ".join(check.line for check in checks))
        self.checks = checks
        self.is_explained = is_explained


@dataclass(frozen=True)
class _Findings:
    """What a look gave, and of which table. Because of ``blocking`` every request is refused."""

    checks: Sequence[Check] = ()
    blocking: Sequence[Check] = ()
    mark: str | None = None


class SetupLog:
    """How the database was last found to be set up for a table. Safe to use from any thread.

    ``table`` is its name, and ``is_one_of_several`` whether there are others. ``glance`` looks at less than
    ``examine``, and is quick with any table. Without ``find_mark`` it is only looked when a statement has met
    a fault.
    """

    def __init__(
        self,
        examine: Examine,
        glance: Examine | None = None,
        find_mark: FindMark | None = None,
        *,
        table: str = "",
        is_one_of_several: bool = False,
    ) -> None:
        self._table = table
        self._is_one_of_several = is_one_of_several
        self._examine = examine
        self._glance = glance or examine
        self._find_mark = find_mark
        self._looking = threading.Lock()
        # Taken as one: two may look at the same time.
        self._findings = _Findings()
        self._looked_at = self._holds_until = self._noted_at = float("-inf")
        self._took = 0.0
        self._failing: Check | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong, without a name of a host, a role or a table; ``None`` while nothing is."""
        failing = next(iter(self._findings.blocking), self._failing)
        return failing.fault if failing else None

    @property
    def is_at_fault(self) -> bool:
        """Whether every request of the table is refused, as far as is known.

        What was found long ago is not: a balancer that has heard it sends no request that would find more.
        """
        failing = self._failing
        is_refused = bool(self._findings.blocking) or (failing and failing.blocks is Blocks.EVERYTHING)
        return bool(is_refused) and time.monotonic() < self._noted_at + LAST_KNOWN

    def note(self, found: Sequence[Check], mark: str | None, took: float) -> None:
        """Take over what a look gave that somebody had while the table had this mark, in so many seconds."""
        blocking = [
            check
            for check in found
            if _explains(check, is_change=False) and not check.is_of_changes and self._find_mark
        ]
        self._findings = _Findings(found, blocking, mark)
        self._failing = next((check for check in found if _explains(check, is_change=True)), None)
        self._took = took
        self._noted_at = time.monotonic()

    def refuse_other_table(self, connection: Connection) -> None:
        """Raise ``NotSetUp`` while the table is not as it must be.

        That it is holds for ``INTERVAL`` seconds; that it is not, until its definition is another. Raises
        psycopg's errors.
        """
        known = self._findings
        if self._find_mark is None or (not known.blocking and time.monotonic() < self._holds_until):
            return
        # Who knows that it was as it must be a moment ago leaves looking to another.
        is_patient = bool(known.blocking) or known.mark is None
        if self._looking.acquire(timeout=PATIENCE if is_patient else 0):
            try:
                self._look_again(connection, is_due=bool(self._findings.blocking))
            except FAILED_LOOKS as error:
                logger.warning("Looking at the table %s failed: %s", self._table, first_line(error))
            finally:
                self._looking.release()
            # Also after a look that failed: else each request would look, and log, again.
            self._holds_until = time.monotonic() + INTERVAL
        if blocking := self._findings.blocking:
            raise NotSetUp(blocking)

    def note_success(self, *, is_change: bool) -> None:
        """A query went well. What keeps changes from being made is not disproved by a read."""
        failing = self._failing
        if failing and (is_change or failing.blocks is Blocks.EVERYTHING):
            self._failing = None

    def diagnose(self, connection: Connection, error: Exception, *, is_change: bool) -> NotSetUp:
        """Say what is behind one of ``FAULTS_MET``, looking on the very connection that met it.

        However many ask, one of them looks in ``INTERVAL`` seconds, or when the table is another.
        """
        checks = [check for check in self._diagnose(connection) if _explains(check, is_change=is_change)]
        is_explained = bool(checks)
        checks = checks or [self._repeat(error, is_change=is_change)]
        self._failing = checks[0]
        return NotSetUp(checks, is_explained=is_explained)

    def _diagnose(self, connection: Connection) -> Sequence[Check]:
        if not self._looking.acquire(timeout=PATIENCE):
            return ()
        try:
            self._look_again(connection, is_due=True)
            return self._findings.checks
        except (psycopg.OperationalError, *FAILED_LOOKS) as looking:
            # What is being explained matters more.
            logger.warning("Looking for what is wrong failed: %s", first_line(looking))
            return ()
        finally:
            self._looking.release()

    def _look_again(self, connection: Connection, *, is_due: bool) -> None:
        """Look if the table is another than at the last look, or if it ``is_due`` and that was long ago."""
        known, mark = self._findings.mark, self._find_mark(connection) if self._find_mark else None
        if mark != known or (is_due and time.monotonic() >= self._looked_at + self._rest()):
            try:
                is_first = known is None and self._find_mark is not None
                self._look(connection, self._glance if is_first else self._examine)
            finally:
                self._looked_at = time.monotonic()

    def _look(self, connection: Connection, examine: Examine) -> None:
        began = time.monotonic()
        for _ in range(MOST_LOOKS):
            before = self._find_mark(connection) if self._find_mark else None
            found = examine(connection)
            mark = self._find_mark(connection) if self._find_mark else None
            if before == mark:
                break
        else:
            found, mark = (), NO_MARK
        self.note(found, mark, time.monotonic() - began)

    def _repeat(self, error: Exception, *, is_change: bool) -> Check:
        """What the database said, where nothing was found that explains it."""
        said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        check = failed(
            "database",
            said or first_line(error),
            mend="Run `python -m lakebase_api doctor` as the app",
            fault=next((words for kind, words in FAULTS.items() if isinstance(error, kind)), NOT_UNIQUE),
            blocks=Blocks.CHANGES if is_change else Blocks.EVERYTHING,
        )
        return replace(check, table=self._table, is_one_of_several=self._is_one_of_several)

    def _rest(self) -> float:
        """Seconds after a look until the next that nothing else asks for."""
        return INTERVAL if self._took < QUICK else REST * self._took


def _explains(check: Check, *, is_change: bool) -> bool:
    """Whether a failing check can be why a request fails."""
    blocking = (Blocks.CHANGES, Blocks.EVERYTHING) if is_change else (Blocks.EVERYTHING,)
    return check.state is State.FAILED and check.blocks in blocking
