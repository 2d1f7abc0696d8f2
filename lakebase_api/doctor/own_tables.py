"""The app's own tables that a declared table needs: the one place where the doctor learns of the overlay."""

from collections.abc import Sequence
from dataclasses import dataclass

from lakebase_api.lakebase.checks import CHANGES, STATUS_CHANGES
from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders import overlay
from lakebase_api.table.declaration import Table

READ_VERSION = overlay.READ_VERSION
VERSION = len(overlay.MIGRATIONS)
FIRST = "orders"


@dataclass(frozen=True)
class OwnTable:
    """A table of the app's own, the privileges it takes, and whether reading takes it too."""

    name: str
    privileges: tuple[str, ...]
    is_read: bool


def find_own_tables(table: Table) -> list[OwnTable]:
    """Those that keep the changes of a declared table, and what goes with them."""
    if not table.changeable or table.name != FIRST:
        return []
    return [
        OwnTable(name, tuple(privileges.split(", ")), name != overlay.IDEMPOTENCY_TABLE)
        for name, privileges in overlay.TABLE_PRIVILEGES.items()
    ]


def name_check(table: Table) -> str:
    """What the check of them is called."""
    return STATUS_CHANGES if table.name == FIRST else CHANGES


def name_changes(table: Table) -> str:
    """What they keep, for texts."""
    return "status changes" if table.name == FIRST else f"changes of {table.name}"


def make(connection: Connection, schema: str, tables: Sequence[Table]) -> int:
    """Make them, or bring them to this release; how many migrations that took. Raises psycopg's errors."""
    del tables
    return overlay.set_up(connection, schema)


def compose_grants(schema: str, role: str, tables: Sequence[Table]) -> list[str]:
    """The SQL that lets a role that does not own them work with them."""
    del tables
    return overlay.grants(schema, role)
