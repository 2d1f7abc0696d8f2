"""Which declared tables are still being made by their first sync, as far as the workspace says it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakebase_api.doctor.freshness import MISSING
from lakebase_api.lakebase.copy_status import CopyStatus
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.freshness import Ask
from lakebase_api.table.declaration import Table

# Of the states of the workspace. https://docs.databricks.com/api/workspace/postgres/getsyncedtable
PROVISIONING = "PROVISIONING"
OFFLINE_FAILED = "OFFLINE_FAILED"
# Seconds after which a table that the workspace counts as made, and the database does not have, is not what
# is declared.
LONGEST_LAG = 300.0
# Seconds between two lines about what goes on alike.
REMINDER = 60.0


class Stage(StrEnum):
    """Where a table is on its way into the database."""

    MAKING = "making"
    MADE = "made"
    FAILED = "failed"
    # No sync is declared, or the workspace knows of none.
    UNKNOWN = "unknown"
    # The workspace does not say, at present.
    UNANSWERED = "unanswered"


@dataclass(frozen=True)
class FirstSync:
    """The stage, why, and how far it is."""

    stage: Stage
    says: str
    progress: str = ""

    @property
    def text(self) -> str:
        """All of it in words."""
        return f"{self.says}: {self.progress}" if self.progress else self.says


def find_first_sync(table: Table, ask: Ask | None) -> FirstSync:
    """Ask the workspace once, if there is one and the declaration says which synced table it is."""
    name = table.synced_table
    if name is None:
        return FirstSync(Stage.UNKNOWN, "no synced_table is declared of it, that could be waited for")
    if ask is None:
        return FirstSync(Stage.UNKNOWN, f"there is no workspace to ask about {name}")
    try:
        copy = ask(name)
    except CredentialError as error:
        is_known_not = any(word in str(error) for word in MISSING)
        return FirstSync(Stage.UNKNOWN if is_known_not else Stage.UNANSWERED, str(error))
    says = f"{name}: {copy.meaning[1].rstrip('.')}"
    if copy.state and copy.state.startswith(PROVISIONING):
        return FirstSync(Stage.MAKING, says, _describe_progress(copy))
    return FirstSync(Stage.FAILED if copy.state == OFFLINE_FAILED else Stage.MADE, says)


def _describe_progress(copy: CopyStatus) -> str:
    sync = copy.sync
    if sync is None:
        return ""
    parts = []
    if sync.rows is not None:
        total = "" if sync.total_rows is None else f" of {sync.total_rows:,}"
        parts.append(f"{sync.rows:,}{total} rows")
    if sync.done is not None:
        parts.append(f"{sync.done:.0%}")
    if sync.seconds_left is not None:
        is_long = sync.seconds_left >= 120
        left = f"{sync.seconds_left / 60:,.0f} min" if is_long else f"{sync.seconds_left:,.0f} s"
        parts.append(f"about {left} left")
    return ", ".join(parts)


class Arrivals:
    """The tables that are still to come. For one thread; ``clock`` is in seconds."""

    def __init__(self, tables: Sequence[Table], ask: Ask | None, clock: Callable[[], float]) -> None:
        self._awaited = {table.name: table for table in tables}
        self._ask = ask
        self._clock = clock
        self._syncs: dict[str, FirstSync] = {}
        self._made_since: dict[str, float] = {}
        # What was last told of a table, and when.
        self._told: dict[str, tuple[str, float]] = {}

    def look(self) -> list[str]:
        """Ask about the awaited; the names of those that are not being made, as far as is known."""
        self._syncs = {name: find_first_sync(table, self._ask) for name, table in self._awaited.items()}
        for name, sync in self._syncs.items():
            if sync.stage is Stage.MADE:
                self._made_since.setdefault(name, self._clock())
        return [name for name, sync in self._syncs.items() if sync.stage is not Stage.MAKING]

    @property
    def awaited(self) -> Collection[str]:
        """Their names."""
        return self._awaited.keys()

    def settle(self, absent: Collection[str]) -> list[str]:
        """Await none that is there and filled; the names of those of the ``absent`` that will not come."""
        hopeless = [name for name in absent if not self._may_come(name)]
        is_awaited = {
            name: sync.stage is Stage.MAKING or (name in absent and name not in hopeless)
            for name, sync in self._syncs.items()
        }
        self._awaited = {name: table for name, table in self._awaited.items() if is_awaited[name]}
        return hopeless

    def explain(self, name: str) -> str:
        """What was last known of a table that was awaited."""
        return self._syncs[name].text

    def list_news(self) -> list[str]:
        """A line for each awaited table of which there is news, or that was not told of for a minute."""
        now = self._clock()
        return [
            f"{name} is waited for. {self._syncs[name].text}"
            for name in self._awaited
            if self._is_due(name, now)
        ]

    def _is_due(self, name: str, now: float) -> bool:
        says, (told, at) = self._syncs[name].says, self._told.get(name, ("", now))
        if says == told and now < at + REMINDER:
            return False
        self._told[name] = says, now
        return True

    def _may_come(self, name: str) -> bool:
        stage = self._syncs[name].stage
        if stage is Stage.MADE:
            return self._clock() < self._made_since[name] + LONGEST_LAG
        return stage is Stage.UNANSWERED
