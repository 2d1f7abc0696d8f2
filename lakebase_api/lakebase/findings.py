"""What was found of one thing that the service needs, and what mends it."""

from dataclasses import dataclass
from enum import StrEnum

# The check of the tables that keep the changes of a table; failing it has a kind of problem of its own. That
# of orders was there before there were other tables, and keeps its name.
STATUS_CHANGES = "status_changes"
CHANGES = "changes"
FIRST = "orders"
# The check of the key, for which the rows of a view have to be looked at.
KEY = "index"
# The check of how many connections fit, which the log shows with its figures even when they do.
CONNECTIONS = "max_connections"


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    ADVICE = "advice"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


# How a terminal and a log show it.
MARKS = {State.OK: "✓", State.ADVICE: "!", State.FAILED: "✗", State.NOT_CHECKED: "–"}


class Blocks(StrEnum):
    """Which requests cannot be served while a check fails."""

    NOTHING = "nothing"
    CHANGES = "changes"
    EVERYTHING = "everything"


class Remedy(StrEnum):
    """What the statements of a check do, by who decides on running them."""

    # They grant the role what it needs to read.
    GRANT = "grant"
    # They make indexes, which take space and time. Most do not run within a transaction.
    INDEX = "index"
    # Something else, for people to decide on.
    OTHER = "other"


@dataclass(frozen=True)
class Check:
    """One check. ``says``, ``mend`` and ``sql`` name roles and tables, and are for the log and a terminal."""

    name: str
    state: State
    says: str
    # Who does what about it, in words; and the statements, to be run as they are.
    mend: str = ""
    sql: tuple[str, ...] = ()
    remedy: Remedy = Remedy.OTHER
    # As ``says``, without a name of a host, a role or a table.
    fault: str = ""
    blocks: Blocks = Blocks.NOTHING
    # The declared table that it is of, if it is of one, and whether there are others.
    table: str = ""
    is_one_of_several: bool = False

    @property
    def is_of_changes(self) -> bool:
        """Whether it is of the tables that keep changes."""
        return self.name in (STATUS_CHANGES, CHANGES)

    @property
    def line(self) -> str:
        """What was found and what mends it, in one line, with the table where there are several."""
        name = f"{self.table}: {self.name}" if self.is_one_of_several else self.name
        statements = " ".join(f"{statement};" for statement in self.sql)
        mend = ": ".join(part for part in (self.mend, statements) if part)
        return f"{name}: {self.says}" + (f". {mend}" if mend else "")


def name_changes_check(table: str) -> str:
    """What the check of the tables that keep the changes of a declared table is called."""
    return STATUS_CHANGES if table == FIRST else CHANGES


def passed(name: str, says: str) -> Check:
    """A check that went well."""
    return Check(name, State.OK, says)


def advised(name: str, says: str, *, mend: str, sql: tuple[str, ...], remedy: Remedy = Remedy.OTHER) -> Check:
    """A check that went well enough, but something would do good."""
    return Check(name, State.ADVICE, says, mend, sql, remedy)


def failed(
    name: str,
    says: str,
    *,
    mend: str,
    sql: tuple[str, ...] = (),
    remedy: Remedy = Remedy.OTHER,
    fault: str = "",
    blocks: Blocks = Blocks.NOTHING,
) -> Check:
    """A check that found something wrong."""
    return Check(name, State.FAILED, says, mend, sql, remedy, fault, blocks)


def skipped(name: str, says: str) -> Check:
    """A check that could not be made."""
    return Check(name, State.NOT_CHECKED, says)
