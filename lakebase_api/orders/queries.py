"""Every statement on the orders table, beside the function that runs it.

Each function takes a connection in autocommit mode first, gives plain data back, and raises
psycopg's errors.
"""

from datetime import date
from decimal import Decimal

import msgspec
from psycopg import Cursor, sql
from psycopg.rows import args_row

from lakebase_api.lakebase.connecting import Connection

# The largest bigint: no order comes after it.
GREATEST_KEY = 2**63 - 1
SAMPLE_SIZE = 5
# Random keys tried for a sample: several fall into one gap of the keys and count once.
SAMPLE_PROBES = 15


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

FETCH = "SELECT {columns} FROM {table} WHERE o_orderkey = %s"

FETCH_AFTER = "SELECT {columns} FROM {table} WHERE o_orderkey > %s ORDER BY o_orderkey LIMIT %s"

# The offset walks the key's index alone; whole rows are read from there on.
FETCH_AT = """
SELECT {columns} FROM {table}
WHERE o_orderkey >= (SELECT o_orderkey FROM {table} ORDER BY o_orderkey OFFSET %s LIMIT 1)
ORDER BY o_orderkey LIMIT %s
"""

FIND_BEFORE = """
SELECT count(*), min(o_orderkey)
FROM (SELECT o_orderkey FROM {table} WHERE o_orderkey <= %s ORDER BY o_orderkey DESC LIMIT %s) AS before
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

UPDATE_STATUS = (
    "UPDATE {table} SET o_orderstatus = %s WHERE o_orderkey = %s RETURNING o_orderkey, o_orderstatus"
)


class OrderQueries:
    """The queries on one orders table. Immutable and so safe to share between threads."""

    def __init__(self, schema: str, table: str) -> None:
        parts = {
            "table": sql.Identifier(schema, table),
            "columns": sql.SQL(", ").join(map(sql.Identifier, Order.__struct_fields__)),
            "size": sql.Literal(SAMPLE_SIZE),
            "probes": sql.Literal(SAMPLE_PROBES),
        }
        self._count = sql.SQL(COUNT).format(**parts).as_bytes(None)
        self._fetch = sql.SQL(FETCH).format(**parts).as_bytes(None)
        self._fetch_after = sql.SQL(FETCH_AFTER).format(**parts).as_bytes(None)
        self._fetch_at = sql.SQL(FETCH_AT).format(**parts).as_bytes(None)
        self._find_before = sql.SQL(FIND_BEFORE).format(**parts).as_bytes(None)
        self._sample = sql.SQL(SAMPLE).format(**parts).as_bytes(None)
        self._update_status = sql.SQL(UPDATE_STATUS).format(**parts).as_bytes(None)

    def count_orders(self, connection: Connection) -> int:
        """How many orders there are, exactly."""
        [(count,)] = connection.execute(self._count).fetchall()
        return int(count)

    def sample_keys(self, connection: Connection) -> list[int]:
        """Five random keys, all different; fewer when the table has fewer rows."""
        return [key for (key,) in connection.execute(self._sample).fetchall()]

    def fetch_order(self, connection: Connection, order_key: int) -> Order | None:
        """The order of that key, if there is one."""
        return self._read(connection, self._fetch, (order_key,)).fetchone()

    def fetch_page_after(self, connection: Connection, cursor: int, page_size: int) -> OrderPage:
        """The first ``page_size`` orders after the cursor."""
        orders = self._read(connection, self._fetch_after, (cursor, page_size + 1)).fetchall()
        return self._build_page(connection, orders, cursor, page_size)

    def fetch_page_at(self, connection: Connection, page: int, page_size: int) -> OrderPage:
        """Page number ``page``, counted from 1."""
        offset = (page - 1) * page_size
        orders = self._read(connection, self._fetch_at, (offset, page_size + 1)).fetchall()
        before = orders[0].o_orderkey - 1 if orders else GREATEST_KEY
        return self._build_page(connection, orders, before if page > 1 else 0, page_size)

    def update_status(self, connection: Connection, order_key: int, status: str) -> tuple[int, str] | None:
        """Set the status; the key and the status as stored, or ``None`` when there is no such order."""
        return connection.execute(self._update_status, (status, order_key)).fetchone()

    def _read(self, connection: Connection, statement: bytes, values: tuple[int, ...]) -> Cursor[Order]:
        cursor = connection.cursor(binary=True, row_factory=args_row(Order))
        return cursor.execute(statement, values)

    def _build_page(
        self, connection: Connection, orders: list[Order], cursor: int, page_size: int
    ) -> OrderPage:
        """A page out of the orders found after the cursor, one more than fits where there are more."""
        rows_before, lowest = 0, 0
        if cursor > 0:
            [(rows_before, lowest)] = connection.execute(
                self._find_before, (cursor, page_size + 1)
            ).fetchall()
        return OrderPage(
            orders=orders[:page_size],
            has_next=len(orders) > page_size,
            has_previous=rows_before > 0,
            # One row more than a page before the cursor is the key the page before starts after.
            previous_cursor=(lowest if rows_before > page_size else 0) if rows_before else None,
        )
