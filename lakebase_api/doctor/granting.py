"""The command that grants a role what it needs to read the declared tables, and waits for them."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import psycopg

from lakebase_api.doctor.first_sync import Arrivals
from lakebase_api.doctor.grants import Grants
from lakebase_api.doctor.login import LoginFailed
from lakebase_api.doctor.relation import TABLE_MISSING
from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import MARKS, Check, Remedy, State
from lakebase_api.lakebase.service import build_ask, find_principal
from lakebase_api.redaction import redact
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table
from lakebase_api.table.loading import load_tables
from lakebase_api.table.mistakes import TablesError

# Seconds between two looks at what is waited for.
INTERVAL = 15.0


class GrantRefused(Exception):
    """Something is missing still; the text says what, or why, and holds no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


@dataclass(frozen=True)
class GrantOptions:
    """What is asked for. ``wait`` is in seconds, for all tables together."""

    makes_indexes: bool = False
    only_shows: bool = False
    wait: float = 0.0

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Which of the doctor's remedies are run."""
        return (Remedy.GRANT, Remedy.INDEX) if self.makes_indexes else (Remedy.GRANT,)


class GrantCommand:
    """The command, for the settings of an environment and their login.

    Each statement is a line of ``out`` before it is run, and nothing else is; all else goes to ``told``.
    ``clock`` and ``sleep`` are in seconds. Making one and its methods raise ``GrantRefused``.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        options: GrantOptions,
        out: TextIO,
        told: TextIO,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            self._settings: Settings = load_settings(environ)
            self._tables: Sequence[Table] = load_tables(self._settings)
        except (SettingsError, TablesError) as error:
            raise GrantRefused(str(error)) from None
        self._options = options
        self._out, self._told = out, told
        self._clock, self._sleep = clock, sleep

    def grant_app(self, app: str) -> None:
        """Grant to the service principal of the Databricks App of this name, as ``grant_role`` does."""
        try:
            role = find_principal(self._settings, app)
        except CredentialError as error:
            raise GrantRefused(
                f"{error}. See that {app} is an app of the workspace, and that this login may see it."
            ) from None
        self._tell(f"The app {app} is {role}.")
        self.grant_role(role)

    def grant_role(self, role: str) -> None:
        """Run what ``doctor --role`` finds missing to read the declared tables: nothing the second time.

        Tables are waited for that the workspace says are being made. Meanwhile no connection is open, so that
        the database may sleep; each later one logs in with a token of its own.
        """
        options = self._options
        grants = Grants(
            self._settings,
            self._tables,
            role,
            options.remedies,
            self._show,
            self._tell,
            only_shows=options.only_shows,
        )
        faults = self._work(grants)
        if faults:
            lacking = ", ".join(dict.fromkeys(check.table or check.name for check in faults))
            is_itself = " That is the role itself: run this as the owner of the tables." * (
                role == grants.login
            )
            raise GrantRefused(
                f"Not all is there that {role} needs, for {grants.login} to give: {lacking}.{is_itself}"
            )
        if not grants.count:
            self._tell(f"Nothing had to be done: {role} may read {self._names}.")
        elif not options.only_shows:
            self._tell(f"{role} may read {self._names}.")

    @property
    def _names(self) -> str:
        return ", ".join(table.name for table in self._tables)

    def _work(self, grants: Grants) -> list[Check]:
        """Give what is missing until no table is waited for; the checks that it did not mend."""
        ask = build_ask(self._settings) if any(table.synced_table for table in self._tables) else None
        arrivals = Arrivals(self._tables, ask, self._clock)
        until = self._clock() + (0 if self._options.only_shows else self._options.wait)
        faults: list[Check] = []
        while True:
            checks = self._give(grants, arrivals.look())
            if checks is not None:
                absent = [check.table for check in checks if check.fault == TABLE_MISSING]
                for name in arrivals.settle(absent):
                    self._tell(f"{name} is not waited for: {arrivals.explain(name)}.")
                faults += self._judge([check for check in checks if check.table not in arrivals.awaited])
            if not arrivals.awaited or any(not fault.table for fault in faults):
                return faults
            if self._clock() >= until:
                raise GrantRefused(self._explain_end(arrivals))
            for line in arrivals.list_news():
                self._tell(line)
            self._sleep(min(INTERVAL, until - self._clock()))

    def _give(self, grants: Grants, names: Collection[str]) -> list[Check] | None:
        """The checks; ``None`` while nobody can log in, where somebody could before."""
        if grants.login and not names:
            return []
        try:
            return grants.give(names)
        except LoginFailed as error:
            if not grants.login:
                raise GrantRefused(str(error)) from None
            self._tell(f"{error}. Trying again.")
            return None
        except psycopg.Error as error:
            raise GrantRefused(f"What the database holds could not be read: {first_line(error)}.") from None

    def _judge(self, checks: Sequence[Check]) -> list[Check]:
        """Say what is wrong still, and what was not asked for; those that are wrong."""
        options, faults = self._options, []
        for check in checks:
            if options.only_shows and check.remedy in options.remedies:
                continue
            is_left = check.remedy is Remedy.INDEX and not options.makes_indexes
            if check.state is State.FAILED or (check.sql and options.makes_indexes):
                faults.append(check)
                self._tell(f"{MARKS[check.state]} {check.line}{' Or run this with --indexes.' * is_left}")
            elif is_left:
                self._tell(f"{check.table}: --indexes makes {len(check.sql)} that would do good.")
        return faults

    def _explain_end(self, arrivals: Arrivals) -> str:
        minutes = self._options.wait / 60
        waited = "" if self._options.only_shows else f" after {minutes:g} minutes"
        tables = ". ".join(
            f"{name} is not there yet{waited}. {arrivals.explain(name)}" for name in arrivals.awaited
        )
        return f"{tables}. Run this again, or with a longer --wait."

    def _show(self, statement: str) -> None:
        print(redact(statement), file=self._out, flush=True)

    def _tell(self, line: str) -> None:
        print(redact(line), file=self._told, flush=True)
