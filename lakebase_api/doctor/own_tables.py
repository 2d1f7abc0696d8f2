"""The app's own tables that a declared table needs: the one place where the doctor learns of the overlay."""

from collections.abc import Sequence
from dataclasses import dataclass

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import FIRST
from lakebase_api.sql import overlay_tables
from lakebase_api.sql.overlay_tables import Found
from lakebase_api.table.declaration import Table

VERSION = len(overlay_tables.MIGRATIONS)


@dataclass(frozen=True)
class OwnTable:
    """A table of the app's own, the privileges it takes, and whether reading takes it too."""

    name: str
    privileges: tuple[str, ...]
    is_read: bool


@dataclass(frozen=True)
class OtherType:
    """A column of the table of changes that is of another type than the changes are to be kept in."""

    column: str
    type: str
    wanted: str


def find_own_tables(table: Table) -> list[OwnTable]:
    """Those that keep the changes of a declared table, and what goes with them."""
    if not table.changeable:
        return []
    return [
        OwnTable(name, tuple(privileges.split(", ")), name != overlay_tables.IDEMPOTENCY_TABLE)
        for name, privileges in overlay_tables.list_privileges([table]).items()
    ]


def find_lacking_columns(found: Found, table: Table) -> list[str]:
    """The columns that may be changed, and whose changes the table of changes cannot keep yet."""
    return overlay_tables.find_lacking(found, table)


def find_other_types(found: Found, table: Table) -> list[OtherType]:
    """The columns that are kept in another type, since another one was declared when they were made."""
    return [
        OtherType(name, kind, overlay_tables.spell_storage_type(table.by_name[name].type).as_string(None))
        for name, kind in overlay_tables.find_other_types(found, table).items()
    ]


def name_changes(table: Table) -> str:
    """What they keep, for texts."""
    return "status changes" if table.name == FIRST else f"changes of {table.name}"


def make(connection: Connection, schema: str, tables: Sequence[Table]) -> int:
    """Make them, or bring them to this release; for how many declared tables there was something to do.

    In a transaction. Raises psycopg's errors.
    """
    return sum(overlay_tables.set_up(connection, schema, [table]) > 0 for table in tables)


def compose_grants(schema: str, role: str, tables: Sequence[Table]) -> list[str]:
    """The SQL that lets a role that does not own them work with them."""
    return overlay_tables.grants(schema, role, tables)
