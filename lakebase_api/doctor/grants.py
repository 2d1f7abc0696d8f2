"""Runs the statements by which the doctor's checks mend what a role lacks."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

import psycopg

from lakebase_api.doctor.examination import Examination
from lakebase_api.doctor.login import log_in_or_fail
from lakebase_api.lakebase.connection import LakebaseConnection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import CONNECTIONS, Check, Remedy
from lakebase_api.lakebase.retries import CONFLICTS
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table

# How often it is begun anew on another connection, and a statement run that met another one at work on the
# same row of a catalogue ("tuple concurrently updated").
TRIES = 5
BUSY = (*CONFLICTS, psycopg.errors.InternalError_)

Tell = Callable[[str], None]


class Grants:
    """What a role lacks, given to it by the login of the settings. For one thread.

    ``show`` gets each statement before it is run, ``tell`` what the server says of it. ``remedies`` are those
    that are run; none is where ``only_shows``.
    """

    def __init__(
        self,
        settings: Settings,
        tables: Sequence[Table],
        role: str,
        remedies: Collection[Remedy],
        show: Tell,
        tell: Tell,
        *,
        only_shows: bool = False,
    ) -> None:
        self._settings = settings
        self._examination = Examination(settings, tables)
        self._role = role
        self._remedies = remedies
        self._show, self._tell = show, tell
        self._only_shows = only_shows
        self._tries: Counter[str] = Counter()
        # Statements that are not run again, whatever came of them.
        self._settled: set[str] = set()
        # Who logged in, once somebody did.
        self.login = ""

    @property
    def count(self) -> int:
        """How many statements were run, or shown."""
        return len(self._tries)

    def give(self, names: Collection[str]) -> list[Check]:
        """The checks of these tables, and of the role, after all was run that helps.

        Logs in anew. Raises ``LoginFailed``, and psycopg's errors where the database cannot be looked at.
        """
        for _ in range(TRIES - 1):
            try:
                return self._give(names)
            except psycopg.OperationalError as error:
                self._tell(f"{first_line(error)}. Trying again.")
        return self._give(names)

    def _give(self, names: Collection[str]) -> list[Check]:
        with log_in_or_fail(self._settings) as connection:
            # Who may not grant something is only warned where they have another right on it.
            connection.add_notice_handler(lambda notice: self._tell(notice.message_primary or ""))
            if not self.login:
                self.login = connection.info.user
                self._tell(f"Logged in as {self.login}.")
            while True:
                checks = self._examination.examine_for(connection, self._role, names)
                missing = dict(self._find_missing(checks))
                if not missing:
                    return [check for check in checks if check.name != CONNECTIONS]
                for statement, remedy in missing.items():
                    self._run(connection, statement, remedy)

    def _find_missing(self, checks: Sequence[Check]) -> Iterator[tuple[str, Remedy]]:
        for check in checks:
            if check.remedy in self._remedies:
                yield from ((each, check.remedy) for each in check.sql if each not in self._settled)

    def _run(self, connection: LakebaseConnection, statement: str, remedy: Remedy) -> None:
        if statement not in self._tries:
            self._show(f"{statement};")
        self._tries[statement] += 1
        is_busy = False
        if not self._only_shows:
            # What makes an index takes as long as it takes.
            limit = "SET statement_timeout = 0" if remedy is Remedy.INDEX else "RESET statement_timeout"
            connection.execute(limit)
            is_busy = self._execute(connection, statement)
        if not is_busy or self._tries[statement] == TRIES:
            self._settled.add(statement)

    def _execute(self, connection: LakebaseConnection, statement: str) -> bool:
        """Whether it is worth another try. Raises psycopg's error where the connection was lost."""
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            if connection.closed:
                raise
            self._tell(first_line(error))
            return isinstance(error, BUSY)
        return False
