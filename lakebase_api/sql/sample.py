"""The statements that draw random rows, beside the function that runs them."""

from functools import lru_cache

from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.predicates import Predicates, Shape, count_values, describe_rows, is_plan_reusable
from lakebase_api.sql.rows import STATEMENTS_KEPT, Key, estimate_rows, fetch_all
from lakebase_api.sql.source import Source

SAMPLE_SIZE = 5
# Random keys tried for a sample: several fall into one gap of the keys and count once.
SAMPLE_PROBES = 15
# Rows that each probe looks at. What is rarer than one in as many is found by looking at all.
SAMPLE_WALK = 1000
# Up to as many rows, all are looked at for a sample.
SAMPLED_WHOLE = 5000
# Rows that a sample is drawn from where there is no arithmetic of keys.
DRAWN_FROM = 1000

# Each probe is a random number in the range of the keys and finds the first key from there on, so that
# a key is found in proportion to the gap before it. The keys beside one of them fill up the sample
# where gaps make the probes meet. Every part reads a few entries of the key's index: where the filters let
# few of the next rows through it ends without a key.
BY_PROBES = """
WITH bounds AS (
    SELECT
        (SELECT {key} FROM {all_rows} ORDER BY {key} LIMIT 1) AS low,
        (SELECT {key} FROM {all_rows} ORDER BY {key} DESC LIMIT 1) AS high
), probe AS MATERIALIZED (
    SELECT least(high, low + floor(random()::numeric * (high::numeric - low + 1)))::bigint AS at
    FROM bounds, generate_series(1, {probes})
), found AS MATERIALIZED (
    SELECT DISTINCT key FROM probe, LATERAL (
        SELECT key FROM ({from_probe}) AS walked WHERE is_asked ORDER BY key LIMIT 1
    ) AS first
), chosen AS MATERIALIZED (
    SELECT key, 0 AS rank FROM found ORDER BY random() LIMIT {size}
), beside AS (
    (SELECT key FROM ({after_first}) AS walked WHERE is_asked ORDER BY key LIMIT {size} * 2)
    UNION ALL
    (SELECT key FROM ({before_first}) AS walked WHERE is_asked ORDER BY key DESC LIMIT {size})
)
SELECT key FROM (
    SELECT key, rank FROM chosen
    UNION ALL
    SELECT key, 1 FROM beside WHERE key NOT IN (SELECT key FROM chosen)
) AS candidate
WHERE {as_declared} ORDER BY rank, random() LIMIT {size}
"""
WALK = """
SELECT {key} AS key, {predicates} AS is_asked FROM {rows}
WHERE {key} {bound} ORDER BY {key} {direction} LIMIT {walked}
"""
# The least of the keys that the probes found.
FIRST_FOUND = "(SELECT min(chosen.key) FROM chosen)"

OF_ALL = "SELECT {key} FROM {rows} WHERE {predicates} AND {as_declared} ORDER BY random() LIMIT {size}"

# Random pages of the table, each with all of its rows: as many as have about enough rows.
OF_PAGES = "(SELECT * FROM {table} TABLESAMPLE SYSTEM (${percent}::float8))"
# Of what has no pages, rows on the way through it until there are enough.
ON_THE_WAY = """
SELECT {key} FROM {rows} WHERE {predicates} AND {as_declared} AND random() * 100 < ${percent}::float8
LIMIT {size}
"""
FIRST = "SELECT {key} FROM {rows} WHERE {predicates} AND {as_declared} LIMIT {size}"
HAS_PAGES = (
    "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass({name}) AND relkind IN ('r', 'm', 'p'))"
)


def sample_keys(connection: Connection, source: Source, which: Predicates) -> list[Key]:
    """Five random keys of the rows, all different; fewer when there are fewer. Raises psycopg's errors."""
    has_arithmetic = source.table.has_integer_key
    if has_arithmetic and not which.shape:
        return _fetch(connection, source, BY_PROBES, which)
    estimate = estimate_rows(connection, source, which)
    if estimate <= SAMPLED_WHOLE:
        return _fetch(connection, source, OF_ALL, which)
    if not has_arithmetic:
        return _draw(connection, source, which, estimate)
    found = _fetch(connection, source, BY_PROBES, which)
    # The estimate may be far off.
    return found if len(found) == SAMPLE_SIZE else _fetch(connection, source, OF_ALL, which)


def _draw(connection: Connection, source: Source, which: Predicates, estimate: int) -> list[Key]:
    name = sql.Literal(source.identifier.as_string(None))
    [(has_pages,)] = fetch_all(connection, sql.SQL(HAS_PAGES).format(name=name).as_bytes(None))
    if has_pages:
        drawn = _fetch(connection, source, OF_PAGES, which, min(100.0, 100 * DRAWN_FROM / estimate))
    else:
        drawn = _fetch(connection, source, ON_THE_WAY, which, min(100.0, 1000 * SAMPLE_SIZE / estimate))
    # The estimate may be far off.
    return drawn if len(drawn) == SAMPLE_SIZE else _fetch(connection, source, FIRST, which)


def _fetch(
    connection: Connection, source: Source, template: str, which: Predicates, *percent: float
) -> list[Key]:
    is_reusable = is_plan_reusable(which.shape, source.table.key_names[0])
    statement = _compose(source, template, which.shape)
    values = (*which.parameters, *percent)
    return fetch_all(connection, statement, values, is_reusable=is_reusable)


@lru_cache(STATEMENTS_KEPT)
def _compose(source: Source, template: str, shape: Shape) -> bytes:
    percent = sql.SQL(str(1 + count_values(shape)))
    of = None
    if template == OF_PAGES:
        of, template = sql.SQL(OF_PAGES).format(table=source.identifier, percent=percent), OF_ALL
    statement = sql.SQL(template).format(
        **describe_rows(source, shape, of=of),
        key=source.key_of(),
        size=sql.Literal(SAMPLE_SIZE),
        percent=percent,
        **_compose_probes(source, shape),
    )
    return statement.as_bytes(None)


def _compose_probes(source: Source, shape: Shape) -> dict[str, sql.Composable]:
    return {
        "all_rows": source.show_rows(()),
        "probes": sql.Literal(SAMPLE_PROBES),
        "from_probe": _compose_walk(source, shape, ">= probe.at"),
        "after_first": _compose_walk(source, shape, f"> {FIRST_FOUND}"),
        "before_first": _compose_walk(source, shape, f"< {FIRST_FOUND}", "DESC"),
    }


def _compose_walk(source: Source, shape: Shape, bound: str, direction: str = "ASC") -> sql.Composable:
    """The next rows from a key on, and whether each is asked for."""
    return sql.SQL(WALK).format(
        **describe_rows(source, shape, bound=source.key_of("s") + sql.SQL(f" {bound}")),
        key=source.key_of(),
        bound=sql.SQL(bound),
        direction=sql.SQL(direction),
        walked=sql.Literal(SAMPLE_WALK),
    )
