"""An order: its columns, and how SQL names the orders, with or without the changes kept beside them."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import msgspec
from psycopg import sql

from lakebase_api.orders.overlay import STATUS_TABLE

STATUS = "o_orderstatus"


class Order(msgspec.Struct, frozen=True):
    """One row of the orders table. All but the key may be NULL in a synced table."""

    o_orderkey: int
    o_custkey: int | None
    o_orderstatus: str | None
    o_totalprice: Decimal | None
    o_orderdate: date | None
    o_orderpriority: str | None
    o_clerk: str | None
    o_shippriority: int | None
    o_comment: str | None


COLUMNS = Order.__struct_fields__

# The same for every representation of the order: made of the values shown, and of the number of changes made
# here, so that a status which was changed and changed back has another.
ETAG = "left(encode(sha256(convert_to(ROW({columns}, {version})::text, 'UTF8')), 'hex'), 32)"

# As long as there is no table of changes the orders are read without it, and not a row once there is one.
UNCHANGED_ORDERS = "{table} AS t"
UNLESS_CHANGES = "AND to_regclass({statuses_name}) IS NULL"
# `bound` is that of the orders: PostgreSQL does not infer it, and would read every change up to there.
CHANGED_ORDERS = """
{table} AS t LEFT JOIN {statuses} AS s ON s.o_orderkey = t.o_orderkey {bound}
AND s.source_schema = {source_schema} AND s.source_table = {source_table}
"""
CHANGED_STATUS = "coalesce(s.o_orderstatus, t.o_orderstatus)"
CHANGES_MADE = "coalesce(s.version, 0)"


@dataclass(frozen=True)
class Source:
    """The orders table, and the schema of the tables beside it. Immutable."""

    schema: str
    table: str
    status_schema: str

    def own(self, table: str) -> sql.Identifier:
        """One of the app's own tables."""
        return sql.Identifier(self.status_schema, table)

    def parts(self) -> dict[str, sql.Composable]:
        """What any statement may name."""
        statuses = self.own(STATUS_TABLE)
        return {
            "table": sql.Identifier(self.schema, self.table),
            "source_schema": sql.Literal(self.schema),
            "source_table": sql.Literal(self.table),
            "statuses": statuses,
            "statuses_name": sql.Literal(statuses.as_string(None)),
        }

    def without_changes(self, *, may_have_changes: bool) -> dict[str, sql.Composable]:
        """The parts of a statement that reads the orders ``t`` as their table has them."""
        parts = self.parts()
        return {
            **parts,
            "orders": sql.SQL(UNCHANGED_ORDERS).format(**parts),
            "unless_changes": sql.SQL(UNLESS_CHANGES if may_have_changes else "").format(**parts),
            "columns": select_columns("t.o_orderstatus"),
            "etag": compute_etag("t.o_orderstatus", "0"),
        }

    def with_changes(self, bound: str) -> dict[str, sql.Composable]:
        """The parts of a statement that reads the orders ``t`` with the status as changed."""
        parts = self.parts()
        return {
            **parts,
            "orders": sql.SQL(CHANGED_ORDERS).format(bound=sql.SQL(bound), **parts),
            "unless_changes": sql.SQL(""),
            "columns": select_columns(CHANGED_STATUS),
            "etag": compute_etag(CHANGED_STATUS, CHANGES_MADE),
        }


def select_columns(status: str) -> sql.Composable:
    """The columns of the orders ``t``, with this expression for the status."""
    return sql.SQL(", ").join(
        sql.SQL(status) if name == STATUS else sql.Identifier("t", name) for name in COLUMNS
    )


def compute_etag(status: str, version: str) -> sql.Composable:
    """The ETag of the order ``t``, with these expressions for the status and the number of changes."""
    return sql.SQL(ETAG).format(columns=select_columns(status), version=sql.SQL(version))
