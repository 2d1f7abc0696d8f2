"""The statements that read single orders, count and sample them, beside the functions that run them.

Each function takes a connection in autocommit mode first, gives plain data back, and raises
psycopg's errors. Lists have a module of their own.
"""

from functools import lru_cache
from typing import Any

from psycopg import sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.setup_log import KeyNotUnique
from lakebase_api.orders.conditions import Conditions, Shape, asks_status, compose_conditions
from lakebase_api.orders.order import COLUMNS, KEY, Order, View, compose_columns, compose_etag
from lakebase_api.orders.reading import SHAPES_KEPT, Reader, Reading, fetch_all

SAMPLE_SIZE = 5
# Random keys tried for a sample: several fall into one gap of the keys and count once.
SAMPLE_PROBES = 15
# Up to as many orders, all are looked at for a sample.
SAMPLED_WHOLE = 5000

FETCH = "SELECT {columns}, {etag} FROM {orders} WHERE t.o_orderkey = $1 AND {gate}"

FETCH_MANY = "SELECT {columns} FROM {orders} WHERE t.o_orderkey = ANY($1) AND {gate}"

COUNT = "SELECT count(*) FROM {orders} WHERE {conditions} HAVING {gate}"

# The planner knows of partitions and views, and how much a table grew since its statistics were made.
ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT FROM {table} AS t WHERE {conditions} AND {gate}"

# Each probe is a random number in the range of their keys and finds the first key from there on, so that
# a key is found in proportion to the gap before it. The keys beside one of them fill up the sample
# where gaps make the probes meet. Every part reads a few entries of the key's index.
SAMPLE = """
WITH bounds AS (
    SELECT
        (SELECT t.o_orderkey FROM {orders} WHERE {conditions} ORDER BY t.o_orderkey LIMIT 1) AS low,
        (SELECT t.o_orderkey FROM {orders} WHERE {conditions} ORDER BY t.o_orderkey DESC LIMIT 1) AS high
), probe AS MATERIALIZED (
    SELECT least(high, low + floor(random()::numeric * (high::numeric - low + 1)))::bigint AS at
    FROM bounds, generate_series(1, {probes})
), found AS MATERIALIZED (
    SELECT DISTINCT key FROM probe, LATERAL (
        SELECT t.o_orderkey AS key FROM {orders} WHERE t.o_orderkey >= probe.at AND {conditions}
        ORDER BY t.o_orderkey LIMIT 1
    ) AS first
), chosen AS MATERIALIZED (
    SELECT key, 0 AS rank FROM found ORDER BY random() LIMIT {size}
), beside AS (
    (SELECT t.o_orderkey AS key FROM {orders} WHERE t.o_orderkey > (SELECT min(key) FROM chosen)
     AND {conditions} ORDER BY t.o_orderkey LIMIT {size} * 2)
    UNION ALL
    (SELECT t.o_orderkey FROM {orders} WHERE t.o_orderkey < (SELECT min(key) FROM chosen)
     AND {conditions} ORDER BY t.o_orderkey DESC LIMIT {size})
)
SELECT key FROM (
    SELECT key, rank FROM chosen
    UNION ALL
    SELECT key, 1 FROM beside WHERE key NOT IN (SELECT key FROM chosen)
) AS candidate
WHERE {gate} ORDER BY rank, random() LIMIT {size}
"""

SAMPLE_OF_FEW = (
    "SELECT t.o_orderkey FROM {orders} WHERE {conditions} AND {gate} ORDER BY random() LIMIT {size}"
)


class OrderQueries:
    """The queries on one orders table. Safe to share between threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._fetch = reader.prepare(_compose_fetch)
        self._prepare_many = lru_cache(SHAPES_KEPT)(self._build_many)
        self._prepare = lru_cache(SHAPES_KEPT)(self._build)

    def fetch_order(self, connection: Connection, order_key: int) -> tuple[Order, str] | None:
        """The order of that key and its ETag, if there is one."""
        rows = self._reader.read(connection, self._fetch, (order_key,))
        if len(rows) > 1:
            raise KeyNotUnique(f"{KEY} {order_key} is there {len(rows)} times")
        return _split_etag(*rows[0]) if rows else None

    def fetch_orders(
        self, connection: Connection, order_keys: list[int], fields: tuple[str, ...]
    ) -> dict[int, TupleRow]:
        """These fields of the orders of these keys, by key; without those that there are not."""
        rows = self._reader.read(connection, self._prepare_many(fields), (order_keys,))
        found = {row[-1]: row for row in rows}
        if len(found) < len(rows):
            raise KeyNotUnique(f"a {KEY} is there more than once")
        return found

    def count_orders(self, connection: Connection, which: Conditions) -> int:
        """How many of the orders there are, exactly."""
        reading = self._prepare(COUNT, which.shape, asks_status(which.shape))
        [(count,)] = self._reader.read(connection, reading, which.parameters)
        return int(count)

    def estimate_orders(self, connection: Connection, which: Conditions) -> int:
        """How many of the orders the planner expects, in no time."""
        estimate = self._prepare(ESTIMATE, which.shape, False).without_changes
        [([explained],)] = fetch_all(connection, estimate, which.parameters)
        return int(explained["Plan"]["Plan Rows"])

    def sample_keys(self, connection: Connection, which: Conditions) -> list[int]:
        """Five random keys of the orders, all different; fewer when there are fewer."""
        is_few = which.shape and self.estimate_orders(connection, which) <= SAMPLED_WHOLE
        statement = SAMPLE_OF_FEW if is_few else SAMPLE
        reading = self._prepare(statement, which.shape, asks_status(which.shape))
        return [key for (key,) in self._reader.read(connection, reading, which.parameters)]

    def _build_many(self, fields: tuple[str, ...]) -> Reading:
        def compose(view: View) -> sql.Composable:
            columns = compose_columns((*fields, KEY), view.status)
            return sql.SQL(FETCH_MANY).format(columns=columns, orders=view.show(), gate=view.gate)

        return self._reader.prepare(compose)

    def _build(self, statement: str, shape: Shape, shows_status: bool) -> Reading:
        def compose(view: View) -> sql.Composable:
            shown = view if shows_status else view.without_status()
            return sql.SQL(statement).format(
                table=shown.parts["table"],
                orders=shown.show(),
                gate=shown.gate,
                conditions=compose_conditions(shape, shown.status, first=1),
                size=sql.Literal(SAMPLE_SIZE),
                probes=sql.Literal(SAMPLE_PROBES),
            )

        return self._reader.prepare(compose, shape=shape)


def _compose_fetch(view: View) -> sql.Composable:
    return sql.SQL(FETCH).format(
        columns=compose_columns(COLUMNS, view.status),
        etag=compose_etag(view.status, view.version),
        orders=view.show(),
        gate=view.gate,
    )


def _split_etag(*values: Any) -> tuple[Order, str]:
    return Order(*values[:-1]), values[-1]
