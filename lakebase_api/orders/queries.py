"""Every statement that reads orders, beside the function that runs it.

Each function takes a connection in autocommit mode first, gives plain data back, and raises
psycopg's errors.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from psycopg import RawCursor, errors, sql
from psycopg.rows import RowFactory, args_row

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders import overlay
from lakebase_api.orders.order import Order, Source

T = TypeVar("T")

# The largest bigint: no order comes after it.
GREATEST_KEY = 2**63 - 1
SAMPLE_SIZE = 5
# Random keys tried for a sample: several fall into one gap of the keys and count once.
SAMPLE_PROBES = 15


class OrderPage(msgspec.Struct, frozen=True):
    """Orders in key order and the cursors around them: a cursor is a key to start after."""

    orders: list[Order]
    has_next: bool
    has_previous: bool
    previous_cursor: int | None

    @property
    def next_cursor(self) -> int | None:
        """The cursor of the page after this one."""
        return self.orders[-1].o_orderkey if self.has_next else None


COUNT = "SELECT count(*) FROM {table}"

# The planner knows of partitions and views, and how much a table grew since its statistics were made.
ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT FROM {table}"

FETCH = "SELECT {columns}, {etag} FROM {orders} WHERE t.o_orderkey = $1 {unless_changes}"

FETCH_AFTER = """
SELECT {columns} FROM {orders} WHERE t.o_orderkey > $1 {unless_changes} ORDER BY t.o_orderkey LIMIT $2
"""

# The offset walks the key's index alone, from the end that is nearer; whole rows are read from there on.
FETCH_AT = """
WITH start AS MATERIALIZED (SELECT o_orderkey FROM {table} ORDER BY o_orderkey {direction} OFFSET $1 LIMIT 1)
SELECT {columns} FROM {orders}
WHERE t.o_orderkey >= (SELECT o_orderkey FROM start) {unless_changes} ORDER BY t.o_orderkey LIMIT $2
"""

FIND_BEFORE = """
SELECT count(*), min(o_orderkey)
FROM (SELECT o_orderkey FROM {table} WHERE o_orderkey <= $1 ORDER BY o_orderkey DESC LIMIT $2) AS before
"""

# Each probe is a random number in the range of the keys and finds the first key from there on, so that
# a key is found in proportion to the gap before it. The keys beside one of them fill up the sample
# where gaps make the probes meet. Every part reads a few entries of the key's index.
SAMPLE = """
WITH bounds AS (
    SELECT min(o_orderkey) AS low, max(o_orderkey) AS high FROM {table}
), probe AS MATERIALIZED (
    SELECT least(high, low + floor(random() * (high::float8 - low + 1))::bigint) AS at
    FROM bounds, generate_series(1, {probes})
), found AS MATERIALIZED (
    SELECT DISTINCT key FROM probe, LATERAL (
        SELECT o_orderkey AS key FROM {table} WHERE o_orderkey >= probe.at ORDER BY o_orderkey LIMIT 1
    ) AS first
), chosen AS MATERIALIZED (
    SELECT key, 0 AS rank FROM found ORDER BY random() LIMIT {size}
), beside AS (
    (SELECT o_orderkey AS key FROM {table} WHERE o_orderkey > (SELECT min(key) FROM chosen)
     ORDER BY o_orderkey LIMIT {size} * 2)
    UNION ALL
    (SELECT o_orderkey FROM {table} WHERE o_orderkey < (SELECT min(key) FROM chosen)
     ORDER BY o_orderkey DESC LIMIT {size})
)
SELECT key FROM (
    SELECT key, rank FROM chosen
    UNION ALL
    SELECT key, 1 FROM beside WHERE key NOT IN (SELECT key FROM chosen)
) AS candidate
ORDER BY rank, random() LIMIT {size}
"""


@dataclass(frozen=True)
class Reading:
    """A statement that shows the status of orders, in two forms."""

    without_changes: bytes
    with_changes: bytes


class OrderQueries:
    """The queries on one orders table. Safe to share between threads.

    The table of changes is looked for until it is there: the first change makes it, in whichever process.
    """

    def __init__(self, source: Source, *, shows_changes: bool) -> None:
        self._source = source
        self._shows_changes = shows_changes
        self._has_changes = False
        parts = {**source.parts(), "size": sql.Literal(SAMPLE_SIZE), "probes": sql.Literal(SAMPLE_PROBES)}
        self._count = sql.SQL(COUNT).format(**parts).as_bytes(None)
        self._estimate = sql.SQL(ESTIMATE).format(**parts).as_bytes(None)
        self._find_before = sql.SQL(FIND_BEFORE).format(**parts).as_bytes(None)
        self._sample = sql.SQL(SAMPLE).format(**parts).as_bytes(None)
        self._fetch = self._build_reading(FETCH)
        self._fetch_after = self._build_reading(FETCH_AFTER, bound="AND s.o_orderkey > $1")
        from_start = "AND s.o_orderkey >= (SELECT o_orderkey FROM start)"
        self._fetch_at = self._build_reading(FETCH_AT, bound=from_start)
        self._fetch_at_from_end = self._build_reading(FETCH_AT, bound=from_start, direction="DESC")

    def count_orders(self, connection: Connection) -> int:
        """How many orders there are, exactly."""
        [(count,)] = connection.execute(self._count).fetchall()
        return int(count)

    def estimate_orders(self, connection: Connection) -> int:
        """How many orders the planner expects, in no time."""
        [([explained],)] = connection.execute(self._estimate).fetchall()
        return int(explained["Plan"]["Plan Rows"])

    def sample_keys(self, connection: Connection) -> list[int]:
        """Five random keys, all different; fewer when the table has fewer rows."""
        return [key for (key,) in connection.execute(self._sample).fetchall()]

    def fetch_order(self, connection: Connection, order_key: int) -> tuple[Order, str] | None:
        """The order of that key and its ETag, if there is one."""
        rows = self._read(connection, self._fetch, (order_key,), args_row(_split_etag))
        return rows[0] if rows else None

    def fetch_page_after(self, connection: Connection, cursor: int, page_size: int) -> OrderPage:
        """The first ``page_size`` orders after the cursor."""
        orders = self._read(connection, self._fetch_after, (cursor, page_size + 1), args_row(Order))
        return self._build_page(connection, orders, cursor, page_size)

    def fetch_page_at(
        self, connection: Connection, page: int, page_size: int, total: int | None = None
    ) -> OrderPage:
        """Page number ``page``, counted from 1; with the number of orders, quicker in the second half."""
        offset = (page - 1) * page_size
        reading = self._fetch_at
        if total is not None and total / 2 < offset < total:
            reading, offset = self._fetch_at_from_end, total - offset - 1
        orders = self._read(connection, reading, (offset, page_size + 1), args_row(Order))
        before = orders[0].o_orderkey - 1 if orders else GREATEST_KEY
        return self._build_page(connection, orders, before if page > 1 else 0, page_size)

    def _build_reading(self, statement: str, bound: str = "", direction: str = "") -> Reading:
        template, order = sql.SQL(statement), sql.SQL(direction)
        without = self._source.without_changes(may_have_changes=self._shows_changes)
        return Reading(
            template.format(direction=order, **without).as_bytes(None),
            template.format(direction=order, **self._source.with_changes(bound)).as_bytes(None),
        )

    def _read(
        self, connection: Connection, reading: Reading, values: tuple[int, ...], rows: RowFactory[T]
    ) -> list[T]:
        if not self._has_changes:
            found = _fetch_all(connection, reading.without_changes, values, rows)
            if found or not self._shows_changes or not overlay.exists(connection, self._source.status_schema):
                return found
            self._has_changes = True
        try:
            return _fetch_all(connection, reading.with_changes, values, rows)
        except errors.UndefinedTable:  # somebody removed it
            self._has_changes = False
            return _fetch_all(connection, reading.without_changes, values, rows)

    def _build_page(
        self, connection: Connection, orders: list[Order], cursor: int, page_size: int
    ) -> OrderPage:
        """A page out of the orders found after the cursor, one more than fits where there are more."""
        rows_before, lowest = 0, 0
        if cursor > 0:
            [(rows_before, lowest)] = (
                RawCursor(connection).execute(self._find_before, (cursor, page_size + 1)).fetchall()
            )
        return OrderPage(
            orders=orders[:page_size],
            has_next=len(orders) > page_size,
            has_previous=rows_before > 0,
            # One row more than a page before the cursor is the key the page before starts after.
            previous_cursor=(lowest if rows_before > page_size else 0) if rows_before else None,
        )


def _fetch_all(
    connection: Connection, statement: bytes, values: tuple[int, ...], rows: RowFactory[T]
) -> list[T]:
    # As text, which psycopg turns into decimals and dates sooner than PostgreSQL's binary form.
    return RawCursor(connection, row_factory=rows).execute(statement, values).fetchall()


def _split_etag(*values: Any) -> tuple[Order, str]:
    return Order(*values[:-1]), values[-1]
