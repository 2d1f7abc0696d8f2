"""What the tables that keep changes are called, their types, and what the app may do with them."""

from collections.abc import Sequence

from psycopg import sql

from lakebase_api.table.declaration import Table
from lakebase_api.table.types import ALIASES, Kind, Type

IDEMPOTENCY_TABLE = "idempotency"
VERSION_TABLE = "schema_version"
# What the histories of earlier releases have not, which write none.
CIRCUMSTANCES = ("_changed_label", "_changed_method")

# What the app does with each table; the history is append-only.
CHANGES_PRIVILEGES = ("SELECT", "INSERT", "UPDATE")
HISTORY_PRIVILEGES = ("SELECT", "INSERT")
SHARED_PRIVILEGES = {
    VERSION_TABLE: ("SELECT",),
    IDEMPOTENCY_TABLE: ("SELECT", "INSERT", "UPDATE", "DELETE"),
}


def name_changes(table: Table) -> str:
    """The table that has the changed columns of its rows."""
    return f"{table.name}_changes"


def name_history(table: Table) -> str:
    """The table that has its versions."""
    return f"{table.name}_history"


def list_privileges(tables: Sequence[Table]) -> dict[str, tuple[str, ...]]:
    """The privileges that the app needs on each table that keeps changes of these."""
    own = {
        name: privileges
        for table in tables
        for name, privileges in (
            (name_changes(table), CHANGES_PRIVILEGES),
            (name_history(table), HISTORY_PRIVILEGES),
        )
        if table.changeable
    }
    return {**SHARED_PRIVILEGES, **own}


def find_storage_type(kind: Type) -> str:
    """The type in which changes of a column are kept, as ``regtype`` prints it.

    The declared one without its length or precision: those may change.
    """
    name = ALIASES.get(kind.name, kind.name)
    if kind.kind is Kind.TEXT:
        is_padded = name.startswith(("char", "bpchar")) and "varying" not in name
        return "character" if is_padded else "text"
    if kind.kind in (Kind.INTEGER, Kind.ENUM):
        return kind.cast
    return name if kind.kind is Kind.FLOAT else kind.family[0]


def spell_storage_type(kind: Type) -> sql.SQL:
    """The type in which changes are kept, as SQL reads it."""
    name = find_storage_type(kind)
    # To SQL `character` is one of a single character.
    return sql.SQL("bpchar" if name == "character" else name)
