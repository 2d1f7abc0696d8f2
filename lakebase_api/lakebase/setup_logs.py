"""How each declared table was last found to be set up, and what the log says of that at first."""

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import psycopg

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import CONNECTIONS, KEY, Blocks, Check, State
from lakebase_api.lakebase.setup_faults import SetupLog

logger = logging.getLogger(__name__)

# Seconds in which the rows of views are looked at when the service starts.
LONGEST_START = 10.0
AT_NO_ROWS, AT_ANY_TIME = float("-inf"), float("inf")


class Examiner(Protocol):
    """Looks at declared tables, on a connection that the role of the app opened. Raises psycopg's errors."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the declared tables."""
        ...

    def examine(self, connection: Connection, names: Collection[str], look_until: float) -> Sequence[Check]:
        """The checks of these tables, and those that are of none.

        Rows are looked at, where only they can tell, until a time of ``time.monotonic()``; without that it
        takes a few short statements, however many tables there are.
        """
        ...

    def find_marks(self, connection: Connection, names: Collection[str]) -> Mapping[str, str]:
        """In one short statement: for each table another mark once it is defined in another way."""
        ...


class SetupLogs:
    """The ``SetupLog`` of each declared table, by its name. Safe to use from any thread."""

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._first = threading.Lock()
        names = examiner.names
        self.by_table = {name: self._build(name, is_one_of_several=len(names) > 1) for name in names}

    def report(self, connection: Connection) -> None:
        """At the first connection of a worker, look at all tables and log what is wrong."""
        if not self._first.acquire(blocking=False):
            return
        try:
            for check in self.examine(connection):
                _log_check(check)
        except (psycopg.Error, ValueError, LookupError) as error:
            logger.warning("The boot report was cut short: %s", error)

    def examine(self, connection: Connection) -> Sequence[Check]:
        """Look at all tables now, and note what was found. Raises psycopg's errors."""
        found = self._look(connection, self._examiner.names, AT_NO_ROWS)
        unsure = {check.table for check in found if check.name == KEY and check.state is State.NOT_CHECKED}
        if not unsure:
            return found
        # Requests do not wait for it: what can be known at once is noted by now.
        more = self._look(connection, sorted(unsure), time.monotonic() + LONGEST_START)
        better = {(check.table, check.name): check for check in more}
        return [better.get((check.table, check.name), check) for check in found]

    def are_all_at_fault(self) -> bool:
        """Whether every request of every table is refused, as far as is known."""
        return all(log.is_at_fault for log in self.by_table.values())

    def _build(self, name: str, *, is_one_of_several: bool) -> SetupLog:
        return SetupLog(
            lambda connection: self._examine(connection, name, AT_ANY_TIME),
            lambda connection: self._examine(connection, name, AT_NO_ROWS),
            lambda connection: self._examiner.find_marks(connection, [name])[name],
            table=name,
            is_one_of_several=is_one_of_several,
        )

    def _examine(self, connection: Connection, name: str, look_until: float) -> Sequence[Check]:
        found = self._examiner.examine(connection, [name], look_until)
        return [check for check in found if check.table == name]

    def _look(self, connection: Connection, names: Sequence[str], look_until: float) -> Sequence[Check]:
        began = time.monotonic()
        before = self._examiner.find_marks(connection, names)
        found = self._examiner.examine(connection, names, look_until)
        after = self._examiner.find_marks(connection, names)
        for name in names:
            # A table that was being changed is looked at when it is asked for.
            if before[name] == after[name]:
                own = [check for check in found if check.table == name]
                self.by_table[name].note(own, after[name], (time.monotonic() - began) / len(names))
        return found


def _log_check(check: Check) -> None:
    is_wrong = check.state is State.FAILED
    if check.name == CONNECTIONS:
        logger.log(logging.WARNING if is_wrong else logging.INFO, "Connections: %s", check.says)
    elif is_wrong:
        level = logging.WARNING if check.blocks is Blocks.NOTHING else logging.ERROR
        logger.log(level, "Not set up: %s", check.line)
