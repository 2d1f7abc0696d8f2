"""The statements that export orders, a range of keys at a time, beside the functions that run them.

COPY takes no parameters. Values travel as parameters all the same: into settings of the session, which the
statement reads.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
from psycopg import sql

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.copying import copy_rows, fetch_integers
from lakebase_api.lakebase.results import Wait
from lakebase_api.lakebase.setup_log import KeyNotUnique
from lakebase_api.orders.conditions import ANY_OF, Conditions, Shape, asks_status, compose_conditions_on
from lakebase_api.orders.order import INTEGER_COLUMNS, KEY, STATUS, TEXT_COLUMNS, View, compose_column
from lakebase_api.orders.reading import SHAPES_KEPT, Reader, Reading, fetch_all

# The largest bigint.
GREATEST_KEY = 2**63 - 1
# The greatest integer that JavaScript holds for sure.
GREATEST_EXACT = 2**53 - 1
# What a chunk may hold in memory; a chunk of more is asked for in smaller ones.
MOST_BYTES = 8_000_000
# What a statement is given at the least: the first one of whoever has the connection next begins under it.
LEAST_MILLISECONDS = 50

# What values are read as; the others are texts.
TYPES = {"o_custkey": "bigint", "o_totalprice": "numeric", "o_orderdate": "date"}

FIRST = "current_setting('lakebase_api.first')::bigint"
LAST = "current_setting('lakebase_api.last')::bigint"
ROWS = "current_setting('lakebase_api.rows')::bigint"
# The planner knows the values of the range. Those of filters are subqueries, to be read once and not for each
# row; that each is of one row is said by the second cast, for ANY.
VALUE = "(SELECT current_setting('lakebase_api.value{number}')::{type})::{type}"
SET_TIMEOUT = b"SELECT set_config('statement_timeout', $1, false)"
SET_VALUE = "set_config('lakebase_api.value{number}', (${parameter}::{type})::text, false)"

# From the first key that there is, so that a gap takes no time.
SET_RANGE = """
SELECT set_config('lakebase_api.first', first::text, false),
    set_config('lakebase_api.last', last::text, false),
    set_config('lakebase_api.rows', $3::bigint::text, false),
    length(set_config('statement_timeout', $4::bigint::text, false))
FROM (
    SELECT min(t.o_orderkey)::bigint AS first FROM {table} AS t
    WHERE $1::bigint IS NULL OR t.o_orderkey > $1::bigint
) AS found, LATERAL (
    SELECT least(first, {greatest} - $2::bigint) + $2::bigint AS last
) AS range
WHERE first IS NOT NULL AND {as_declared}
"""

SELECT = """
SELECT {columns} FROM {orders}
WHERE t.o_orderkey >= {first} AND t.o_orderkey <= {last} AND {conditions} AND {gate}
ORDER BY t.o_orderkey LIMIT {rows}
"""
BOUND = f"s.o_orderkey >= {FIRST} AND s.o_orderkey <= {LAST}"
COPY_CSV = "COPY ({select}) TO STDOUT (FORMAT csv)"
# JSON has no control characters: as marks they let everything stand as it is.
COPY_NDJSON = r"""
COPY (SELECT row_to_json(o) FROM ({select}) AS o) TO STDOUT (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')
"""
# Not ||, which takes away the blanks that fill up a char(n).
DISARMED = """
CASE WHEN {column} IS NULL THEN NULL WHEN left({column}, 1) IN ({starts}) THEN concat('''', {column})
ELSE concat({column}) END
"""
SPELLED = """
CASE WHEN {column} BETWEEN -{greatest} AND {greatest} THEN to_json({column}) ELSE to_json({column}::text) END
"""

# A cell of CSV with the comma behind it.
CELL = rb'(?:"(?:[^"]|"")*+"|[^",\n]*),'


@dataclass(frozen=True)
class Export:
    """What is exported: which orders, and what they look like. Immutable.

    Texts that start with one of ``disarmed`` get an apostrophe before. ``tells_cursor``: whether a last line
    says where to go on. ``great_as_text``: integers that JavaScript would round are texts, in JSON.
    """

    which: Conditions
    fields: tuple[str, ...]
    is_csv: bool
    disarmed: tuple[str, ...] = ()
    tells_cursor: bool = False
    great_as_text: bool = False


@dataclass(frozen=True)
class Size:
    """How much is asked for at a time: so many keys, of which not all need be there, and rows at most."""

    keys: int
    rows: int


@dataclass(frozen=True)
class Chunk:
    """Rows with their line ends, and the key up to which there are no others."""

    rows: list[bytes]
    reached: int


class Keyed(msgspec.Struct):
    """What must be known of a row in JSON, where the key may be a text."""

    o_orderkey: int


class ExportChunks:
    """The rows of exports, chunk by chunk. Safe to share between threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._set_range = (
            sql.SQL(SET_RANGE)
            .format(**reader.source.parts(), greatest=sql.Literal(GREATEST_KEY))
            .as_bytes(None)
        )
        self._prepare = lru_cache(SHAPES_KEPT)(self._build)

    def begin(self, connection: Connection, which: Conditions, seconds: float) -> None:
        """Make a connection ready for the chunks of these orders; a statement may take so many seconds.

        Raises psycopg's errors.
        """
        fetch_all(connection, SET_TIMEOUT, (str(round(seconds * 1000)),))
        if which.values:
            assignments = [
                SET_VALUE.format(number=number, parameter=number, type=kind)
                for number, kind in enumerate(_find_types(which.shape), 1)
            ]
            fetch_all(connection, f"SELECT {', '.join(assignments)}".encode(), which.parameters)

    def fetch(
        self,
        connection: Connection,
        export: Export,
        after: int | None,
        size: Size,
        seconds: float,
        wait: Wait,
    ) -> Chunk | None:
        """The next rows after a key, or from the first on; ``None`` if there are no more.

        A statement may take so many seconds. ``wait`` as for ``copy_rows``. Raises ``TooMuch`` and psycopg's
        errors.
        """
        milliseconds = max(LEAST_MILLISECONDS, round(seconds * 1000))
        values = (after, size.keys, size.rows + 1, milliseconds)
        found = fetch_integers(connection, self._set_range, values, wait)
        if not found:
            return None
        last = found[1]
        reading = self._prepare(replace(export, which=Conditions(export.which.shape)))
        rows = self._reader.read_by(
            lambda statement: copy_rows(connection, statement, MOST_BYTES, wait), connection, reading
        )
        if len(rows) <= size.rows:
            return Chunk(rows, last)
        beyond, reached = find_key(rows.pop(), export), find_key(rows[-1], export)
        if beyond == reached:
            raise KeyNotUnique(f"{KEY} {reached} is there more than once")
        return Chunk(rows, reached)

    def _build(self, export: Export) -> Reading:
        shape, fields = export.which.shape, export.fields

        def compose(view: View) -> sql.Composable:
            shown = view if STATUS in fields or asks_status(shape) else view.without_status()
            columns = [_compose_cell(name, shown.status, export) for name in fields]
            select = sql.SQL(SELECT).format(
                columns=sql.SQL(", ").join(columns),
                orders=shown.show(bound=BOUND),
                conditions=compose_conditions_on(shape, shown.status, _compose_values(shape)),
                gate=shown.gate,
                first=sql.SQL(FIRST),
                last=sql.SQL(LAST),
                rows=sql.SQL(ROWS),
            )
            return sql.SQL(COPY_CSV if export.is_csv else COPY_NDJSON).format(select=select)

        return self._reader.prepare(compose)


def find_key(row: bytes, export: Export) -> int:
    """The key of a row."""
    if not export.is_csv:
        return msgspec.json.decode(row, type=Keyed, strict=False).o_orderkey
    found = re.match(CELL * export.fields.index(KEY) + rb"(-?[0-9]+)", row)
    assert found
    return int(found[1])


def _find_types(shape: Shape) -> Iterator[str]:
    """The types of the conditions' values, in turn."""
    for column, statement in shape:
        if "{value}" in statement:
            yield TYPES.get(column, "text") + ("[]" if statement == ANY_OF else "")


def _compose_values(shape: Shape) -> Iterator[sql.Composable]:
    return (
        sql.SQL(VALUE.format(number=number, type=kind)) for number, kind in enumerate(_find_types(shape), 1)
    )


def _compose_cell(name: str, status: sql.Composable, export: Export) -> sql.Composable:
    """A column under its name, looking as the export asks."""
    column = compose_column(name, status)
    if export.disarmed and name in TEXT_COLUMNS:
        starts = sql.SQL(", ").join(map(sql.Literal, export.disarmed))
        column = sql.SQL(DISARMED).format(column=column, starts=starts)
    if export.great_as_text and name in INTEGER_COLUMNS:
        column = sql.SQL(SPELLED).format(column=column, greatest=sql.Literal(GREATEST_EXACT))
    return sql.SQL("{} AS {}").format(column, sql.Identifier(name))
