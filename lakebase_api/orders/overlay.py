"""The tables that keep changes of orders, for who does not know declared tables yet."""

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.sql import overlay_tables
from lakebase_api.table.declaration import Change, Column, Table
from lakebase_api.table.types import find_type

ORDERS = Table(
    "orders",
    "order",
    "public",
    "orders_synced",
    (
        Column("o_orderkey", find_type("bigint")),
        Column("o_orderstatus", find_type("text"), change=Change("status")),
    ),
    ("o_orderkey",),
)
STATUS_TABLE = overlay_tables.name_changes(ORDERS)
HISTORY_TABLE = overlay_tables.name_history(ORDERS)
VERSION_TABLE = overlay_tables.VERSION_TABLE
TABLE_PRIVILEGES = overlay_tables.list_privileges([ORDERS])
MIGRATIONS = overlay_tables.MIGRATIONS
READ_VERSION = overlay_tables.READ_VERSION


def set_up(connection: Connection, schema: str) -> int:
    """Make the tables; 1 unless they were there. Raises psycopg's errors."""
    return min(1, overlay_tables.set_up(connection, schema, [ORDERS]))


def grants(schema: str, role: str) -> list[str]:
    """The SQL that lets a role work with them."""
    return overlay_tables.grants(schema, role, [ORDERS])


IDEMPOTENCY_TABLE = overlay_tables.IDEMPOTENCY_TABLE
