"""An order: its columns, and how SQL names the orders, with or without the changes kept beside them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NewType

import msgspec
from psycopg import sql

STATUS_TABLE = "orders_changes"

KEY = "o_orderkey"
STATUS = "o_orderstatus"
# In the order of TPC-H: fulfilled, open, in progress.
STATUSES = ("F", "O", "P")


# As PostgreSQL writes it: `1996-01-02`, but also `infinity`, `10000-01-01` and `0044-03-15 BC`.
Date = NewType("Date", str)


class Order(msgspec.Struct, frozen=True):
    """One row of the orders table. All but the key may be NULL in a synced table."""

    o_orderkey: int
    o_custkey: int | None
    o_orderstatus: str | None
    o_totalprice: Decimal | None
    o_orderdate: Date | None
    o_orderpriority: str | None
    o_clerk: str | None
    o_shippriority: int | None
    o_comment: str | None


COLUMNS = Order.__struct_fields__
INTEGER_COLUMNS = frozenset(name for name, kind in Order.__annotations__.items() if kind in (int, int | None))
TEXT_COLUMNS = frozenset(name for name, kind in Order.__annotations__.items() if kind == str | None)

# The same for every representation of the order: made of the values shown, and of the number of changes made
# here, so that a status which was changed and changed back has another.
ETAG = "left(encode(sha256(convert_to(ROW({columns}, {version})::text, 'UTF8')), 'hex'), 32)"

# That the columns are there and of the types they must be: each expression is of one family of types alone.
# It is part of every statement, which the server refuses to understand where it does not hold; nothing is
# read for it, since `true` is all that the planner leaves.
AS_DECLARED = """
(true OR EXISTS (
    SELECT FROM {table} AS d
    WHERE d.o_orderkey & 1 = pg_catalog.scale(d.o_custkey) AND pg_catalog.abs(d.o_totalprice) = 0
        AND pg_catalog.scale(d.o_shippriority) = 0
        AND d.o_orderdate - 1 = d.o_orderdate
        AND d.o_orderstatus ~ d.o_orderpriority AND d.o_clerk ~ d.o_comment
))
"""

# As long as there is no table of changes the orders are read without it, and not a row once there is one.
UNCHANGED_ORDERS = "{table} AS t"
UNCHANGED_STATUS = "t.o_orderstatus"
UNLESS_CHANGES = "{as_declared} AND to_regclass({statuses_name}) IS NULL"
# `bound` is that of the orders: PostgreSQL does not infer it, and would read every change up to there.
CHANGED_ORDERS = """
{table} AS t LEFT JOIN {statuses} AS s ON s.o_orderkey = t.o_orderkey AND s._source = {source} AND {bound}
"""
CHANGED_STATUS = "CASE WHEN s._changed_o_orderstatus THEN s.o_orderstatus ELSE t.o_orderstatus END"
CHANGES_MADE = "coalesce(s._version, 0)"


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
        statuses, table = self.own(STATUS_TABLE), sql.Identifier(self.schema, self.table)
        return {
            "table": table,
            "as_declared": sql.SQL(AS_DECLARED).format(table=table),
            "source": sql.Literal(table.as_string(None)),
            "statuses": statuses,
            "statuses_name": sql.Literal(statuses.as_string(None)),
        }

    def without_changes(self, *, may_have_changes: bool) -> "View":
        """The orders as their table has them; none once changes are kept beside them, where they may be."""
        return self._view(
            UNCHANGED_ORDERS, UNLESS_CHANGES if may_have_changes else "{as_declared}", UNCHANGED_STATUS
        )

    def with_changes(self) -> "View":
        """The orders with the status as changed."""
        return self._view(CHANGED_ORDERS, "{as_declared}", CHANGED_STATUS, CHANGES_MADE)

    def _view(self, orders: str, gate: str, status: str, version: str = "0") -> "View":
        parts = self.parts()
        return View(orders, parts, sql.SQL(gate).format(**parts), sql.SQL(status), sql.SQL(version))


@dataclass(frozen=True)
class View:
    """How a statement names the orders ``t``, and the status and number of changes it shows of them.

    ``gate`` is a condition that the statement must have.
    """

    template: str
    parts: Mapping[str, sql.Composable]
    gate: sql.Composable
    status: sql.Composable
    version: sql.Composable

    def show(self, rows: sql.Composable | None = None, *, bound: str = "true") -> sql.Composable:
        """The orders, or those of a subquery; ``bound`` is what is known of the keys of the changes ``s``."""
        parts = self.parts if rows is None else {**self.parts, "table": rows}
        return sql.SQL(self.template).format(bound=sql.SQL(bound), **parts)

    def without_status(self) -> "View":
        """The same for a statement, or a part of one, that does not depend on the status."""
        return replace(
            self,
            template=UNCHANGED_ORDERS,
            gate=self.parts["as_declared"],
            status=sql.SQL(UNCHANGED_STATUS),
        )


def compose_column(column: str, status: sql.Composable) -> sql.Composable:
    """A column of the orders ``t``, with this expression for the status."""
    return status if column == STATUS else sql.Identifier("t", column)


def compose_columns(columns: Iterable[str], status: sql.Composable) -> sql.Composable:
    """A list of columns of the orders ``t``, each under its name, with this expression for the status."""
    return sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(compose_column(column, status), sql.Identifier(column))
        for column in columns
    )


def compose_etag(status: sql.Composable, version: sql.Composable) -> sql.Composable:
    """The ETag of the order ``t``, with these expressions for the status and the number of changes."""
    return sql.SQL(ETAG).format(
        columns=sql.SQL(", ").join(compose_column(column, status) for column in COLUMNS), version=version
    )
