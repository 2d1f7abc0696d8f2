"""The range of keys that an export reads next, which no row is left out of and none is in twice.

Keys that are whole numbers are counted up: that takes no time however many there are, so that a filter which
an index serves is through with a large table at once. Other keys have no next one but that of another row:
there the range ends with so many rows, which are counted in the index of the key.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.copy import fetch_texts
from lakebase_api.lakebase.results import Wait
from lakebase_api.lakebase.setup_faults import KeyNotUnique
from lakebase_api.sql.copy_sql import name_key_setting, name_type
from lakebase_api.sql.source import Source
from lakebase_api.table.key_text import KeyTexts
from lakebase_api.table.values import MAX_BIGINT

# From the first key that there is, so that a gap takes no time. The first words are for whoever looks at what
# the server does.
BY_VALUE = """/* The range of keys of the next COPY. */
SELECT {settings}, false
FROM (SELECT min({key})::bigint AS key1 FROM {table} AS t WHERE {after}) AS first,
    LATERAL (SELECT least(first.key1, {greatest} - $1::bigint) + $1::bigint AS key1) AS last
WHERE first.key1 IS NOT NULL AND {as_declared}
"""
# Two rows at the end, to see that they have not one key. Where there are less rows the last one is the end.
BY_ROWS = """/* The range of keys of the next COPY. */
WITH ends AS (
    SELECT {columns} FROM {table} AS t WHERE {after} ORDER BY {key} OFFSET $1::bigint - 1 LIMIT 2
)
SELECT {settings}, (SELECT count(*) > count(DISTINCT ({names})) FROM ends)
FROM (SELECT {columns} FROM {table} AS t WHERE {after} ORDER BY {key} LIMIT 1) AS first, (
    SELECT {names} FROM (
        TABLE ends UNION ALL (SELECT {columns} FROM {table} AS t WHERE {after} ORDER BY {descending} LIMIT 1)
    ) AS either ORDER BY {names} LIMIT 1
) AS last
WHERE {as_declared}
"""
# Of a time zone JSON says more than a text. The other settings are for the statement that comes next.
SET_KEY = "set_config('{setting}', to_json({edge}.key{place}) #>> '{{}}', false)"
SET_OTHERS = (
    "set_config('lakebase_api.rows', $2::bigint::text, false)",
    "set_config('statement_timeout', $3::bigint::text, false)",
)
# Values before those of the key.
OTHERS = 3
EDGES = ("first", "last")


def set_range(
    connection: Connection,
    source: Source,
    after: KeyTexts | None,
    keys: int,
    rows: int,
    milliseconds: int,
    wait: Wait,
) -> KeyTexts | None:
    """Have the next COPY read the next keys, and at most so many rows; returns the last of those keys.

    The keys are ``keys`` numbers, or as many rows. ``None`` if there are no more. The statement after this
    one may take so many ``milliseconds``. Raises ``KeyNotUnique`` and psycopg's errors.
    """
    values = (keys, rows, milliseconds, *(after or ()))
    row = fetch_texts(connection, compose_bounds(source, is_first=after is None), values, wait)
    if row is None:
        return None
    size = len(source.table.key)
    last, is_twice = row[size : 2 * size], row[-1] == "t"
    found = tuple(part for part in last if part is not None)
    if is_twice or len(found) < size:
        raise KeyNotUnique(f"{', '.join(source.table.key_names)} {'/'.join(found)} is no key of one row")
    return found


@lru_cache(256)
def compose_bounds(source: Source, *, is_first: bool) -> bytes:
    """The statement that finds the range and puts it into settings, after a key or from the first one on."""
    names = [f"key{place}" for place, _ in enumerate(source.table.key, 1)]
    parts = {
        "settings": sql.SQL(", ").join(map(sql.SQL, _compose_settings(names))),
        "table": source.identifier,
        "key": source.key_of(),
        "after": sql.SQL("true") if is_first else _compose_after(source),
        "as_declared": source.as_declared(),
    }
    if source.table.has_integer_key:
        return sql.SQL(BY_VALUE).format(**parts, greatest=sql.Literal(MAX_BIGINT)).as_bytes(None)
    identifiers = [sql.Identifier("t", name) for name in source.table.key_names]
    columns = (
        sql.SQL("{} AS {}").format(*pair) for pair in zip(identifiers, map(sql.SQL, names), strict=True)
    )
    return (
        sql.SQL(BY_ROWS)
        .format(
            **parts,
            columns=sql.SQL(", ").join(columns),
            names=sql.SQL(", ".join(names)),
            descending=sql.SQL(", ").join(sql.SQL("{} DESC").format(each) for each in identifiers),
        )
        .as_bytes(None)
    )


def _compose_settings(names: Sequence[str]) -> Iterator[str]:
    for edge in EDGES:
        for place, _ in enumerate(names, 1):
            yield SET_KEY.format(setting=name_key_setting(edge, place), edge=edge, place=place)
    yield from SET_OTHERS


def _compose_after(source: Source) -> sql.Composable:
    values = (
        f"${number}::{name_type(column.type)}" for number, column in enumerate(source.table.key, OTHERS + 1)
    )
    return sql.SQL("({}) > ({})").format(source.key_of(), sql.SQL(", ".join(values)))
