"""The COPY that reads a range of keys of a declared table, as CSV or as JSON by the line.

COPY takes no parameters. Values travel as parameters all the same: into settings of the session, which the
statement reads. So it is of one text for all values, and none of them is in a log or in statistics.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from psycopg import sql

from lakebase_api.sql.predicates import Predicate, Shape, describe_rows, find_cast, list_predicates
from lakebase_api.sql.shown import ON_ONE_LINE, TIME_IN_UTC, choose_array_form
from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Column
from lakebase_api.table.types import TIMES, Kind, Type

ROWS = "current_setting('lakebase_api.rows')::bigint"
# The planner knows the values of the range. Those of filters are subqueries, to be read once and not for each
# row; that each is of one row is said by the cast around it, for ANY.
VALUE = "(SELECT current_setting('lakebase_api.value{number}')::{type})"
SET_VALUE = "set_config('lakebase_api.value{number}', (${number}::{type})::text, false)"

SELECT = """
SELECT {columns} FROM {rows}
WHERE {range} AND {predicates} AND {as_declared}
ORDER BY {order} LIMIT {limit}
"""
COPY_CSV = "COPY ({select}) TO STDOUT (FORMAT csv)"
# JSON has no control characters: as marks they let everything stand as it is.
COPY_NDJSON = r"""
COPY (SELECT row_to_json(o) FROM ({select}) AS o) TO STDOUT (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')
"""
# Not ||, which takes away the blanks that fill up a char(n).
ESCAPED = """
CASE WHEN {column} IS NULL THEN NULL WHEN left({column}::text, 1) IN ({starts}) THEN concat('''', {column})
ELSE concat({column}) END
"""
SPELLED = """
CASE WHEN {column} BETWEEN -{greatest} AND {greatest} THEN to_json({column}) ELSE to_json({column}::text) END
"""

# The greatest integer that JavaScript holds for sure.
GREATEST_EXACT = 2**53 - 1
# How many statements are kept: there is one for each shape of filters and set of fields.
MAX_STATEMENTS = 256

# Texts; the values of others cannot begin a formula that a spreadsheet would run.
ESCAPED_KINDS = (Kind.TEXT, Kind.ENUM)
LENGTH = re.compile(r"\s*\([^)]*\)")
PADDED = re.compile(r"(character|char|bpchar)(\(\d+\))?")


@dataclass(frozen=True)
class Form:
    """What exported rows look like. Immutable.

    Texts that start with one of ``escaped`` get an apostrophe before. ``great_as_text``: integers that
    JavaScript would round are texts, in JSON.
    """

    fields: tuple[str, ...]
    is_csv: bool
    escaped: tuple[str, ...] = ()
    great_as_text: bool = False


def name_type(kind: Type) -> str:
    """The type of SQL that a text is read as, to be compared with a column of a declared type.

    That of the column itself, where another would miss its index or another number; without a length, which
    would cut the text.
    """
    if kind.element is not None:
        return f"{_name_element(kind.element)}[]"
    if kind.kind is Kind.FLOAT:
        return kind.name
    if kind.kind is Kind.TEXT:
        return "bpchar" if PADDED.fullmatch(kind.name) else "text"
    # An array contains elements of its own type alone.
    return kind.name if kind.kind is Kind.ARRAY else kind.cast or "text"


def _name_element(kind: Type) -> str:
    """The widest of its kind, without a length: the column may be of a narrower one than is declared."""
    if kind.kind in (Kind.INTEGER, Kind.NUMERIC):
        return "numeric"
    return LENGTH.sub("", kind.name) if kind.kind in TIMES else name_type(kind)


def name_key_setting(edge: str, place: int) -> str:
    """The setting that has a part of the ``first`` or the ``last`` key of the range."""
    return f"lakebase_api.{edge}{place}"


@lru_cache(MAX_STATEMENTS)
def compose_copy(source: Source, shape: Shape, form: Form) -> bytes:
    """The statement: rows with their keys in the range that the session's settings have, in their order."""
    types = enumerate(_find_types(source, shape), 1)
    values = (sql.SQL(VALUE.format(number=number, type=kind)) for number, kind in types)
    cells = (_compose_cell(source, source.table.by_name[name], form) for name in form.fields)
    select = sql.SQL(SELECT).format(
        **describe_rows(
            source,
            shape,
            form.fields,
            values=values,
            name_type=name_type,
            bound=_compose_range(source, "s"),
        ),
        columns=sql.SQL(", ").join(cells),
        range=_compose_range(source, "t"),
        order=source.key_of(),
        limit=sql.SQL(ROWS),
    )
    return sql.SQL(COPY_CSV if form.is_csv else COPY_NDJSON).format(select=select).as_bytes(None)


@lru_cache(MAX_STATEMENTS)
def compose_values(source: Source, shape: Shape) -> bytes:
    """The statement that puts the values of predicates into settings, with ``$1`` and so on for them."""
    types = enumerate(_find_types(source, shape), 1)
    assignments = (SET_VALUE.format(number=number, type=kind) for number, kind in types)
    return f"SELECT {', '.join(assignments)}".encode()


def _find_types(source: Source, shape: Shape) -> Iterator[str]:
    """The types of the predicates' values, in turn."""
    return (
        _find_type(source, predicate) for predicate in list_predicates(shape) if predicate.operator.has_value
    )


def _find_type(source: Source, predicate: Predicate) -> str:
    return find_cast(source, predicate) or name_type(source.table.by_name[predicate.column].type)


def _compose_range(source: Source, alias: str) -> sql.Composable:
    """That the key of ``alias`` is in the range: of several columns compared as one, as an index has them."""
    key = source.key_of(alias)
    edges = [
        sql.SQL(", ").join(
            sql.SQL(f"current_setting('{name_key_setting(edge, place)}')::{name_type(column.type)}")
            for place, column in enumerate(source.table.key, 1)
        )
        for edge in ("first", "last")
    ]
    return sql.SQL("({key}) >= ({first}) AND ({key}) <= ({last})").format(
        key=key, first=edges[0], last=edges[1]
    )


def _compose_cell(source: Source, column: Column, form: Form) -> sql.Composable:
    """A column under its name, looking as the export asks."""
    shown = source.show_column(column.name)
    template = _choose_form(column, form)
    starts = sql.SQL(", ").join(map(sql.Literal, form.escaped))
    cell = sql.SQL(template).format(column=shown, starts=starts, greatest=sql.Literal(GREATEST_EXACT))
    return sql.SQL("{} AS {}").format(cell, sql.Identifier(column.name))


def _choose_form(column: Column, form: Form) -> str:
    kind = column.type
    if form.is_csv:
        return ESCAPED if form.escaped and kind.kind in ESCAPED_KINDS else "{column}"
    if column.is_text_in_json:
        return "{column}::text"
    if form.great_as_text and kind.kind is Kind.INTEGER:
        return SPELLED
    if kind.kind is Kind.TIMESTAMPTZ:
        return TIME_IN_UTC
    if kind.kind is Kind.ARRAY:
        return choose_array_form(kind)
    return f"{ON_ONE_LINE}::json" if kind.name == "json" else "{column}"
