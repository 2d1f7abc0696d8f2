"""The statements that read rows by their keys, and how many there are, beside the functions that run them.

Each function takes a connection in autocommit mode first, gives plain data back, and raises psycopg's errors.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from psycopg import sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.setup_faults import KeyNotUnique
from lakebase_api.lakebase.statements import execute
from lakebase_api.sql.predicates import (
    EVERYTHING,
    Operator,
    Predicate,
    Predicates,
    Shape,
    compose_predicates,
    describe_rows,
    is_plan_reusable,
)
from lakebase_api.sql.shown import Form, show_as
from lakebase_api.sql.source import Source
from lakebase_api.sql.state import compose_state, settle_state
from lakebase_api.table.declaration import Table

# Statements of a kind that are kept: there is one for each shape of predicates, set of columns and order.
STATEMENTS_KEPT = 1024

FETCH_ONE = "SELECT {columns}, {etag} FROM {rows} WHERE {is_asked} AND {as_declared}"

# With each row, which of the keys asked for is its own.
FETCH_MANY = """
SELECT {columns}, {state}, k."place among the keys"
FROM {rows}, unnest({keys}) WITH ORDINALITY AS k ({names}, "place among the keys")
WHERE {same_key} AND {predicates} AND {as_declared}
"""

COUNT = "SELECT count(*) FROM {rows} WHERE {predicates} HAVING {as_declared}"

# The planner knows of partitions and views, and how much a table grew since its statistics were made. It is
# not asked about changes: few rows have any.
ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT FROM {rows} WHERE {predicates} AND {as_declared}"

Key = tuple[object, ...]


def fetch_all(
    connection: Connection, statement: bytes, values: Sequence[object] = (), *, is_reusable: bool = True
) -> list[TupleRow]:
    """The rows of a statement with ``$1`` and so on for the values. Raises psycopg's errors.

    One that ``is_reusable`` is prepared once it was used some times, and may then be planned for any values.
    """
    # As text, which psycopg turns into decimals sooner than PostgreSQL's binary form.
    return execute(connection, statement, values, prepare=None if is_reusable else False).fetchall()


def fetch_one(
    connection: Connection, source: Source, key: Key, within: Predicates = EVERYTHING
) -> tuple[TupleRow, str] | None:
    """The row of that key, as JSON shows it, and its ETag, if there is one of those ``within``.

    Raises ``KeyNotUnique``.
    """
    rows = fetch_all(connection, _compose_one(source, within.shape), (*key, *within.parameters))
    if len(rows) > 1:
        raise KeyNotUnique(f"{_spell(source.table, key)} is there {len(rows)} times")
    return (rows[0][:-1], str(rows[0][-1])) if rows else None


def fetch_many(
    connection: Connection,
    source: Source,
    keys: Sequence[Key],
    fields: tuple[str, ...],
    form: Form,
    within: Predicates = EVERYTHING,
) -> tuple[dict[Key, TupleRow], str | None]:
    """These fields of the rows of these keys, by key, and the state that they were read in, if it is known.

    Without those that there are not ``within``. Raises ``KeyNotUnique``.
    """
    columns = [list(column) for column in zip(*keys, strict=True)]
    statement = _compose_many(source, fields, form, within.shape)
    rows = fetch_all(connection, statement, (*columns, *within.parameters))
    found = {keys[row[-1] - 1]: row[:-2] for row in rows}
    if len(found) < len(rows):
        raise KeyNotUnique(f"a {', '.join(source.table.key_names)} is there more than once")
    return found, settle_state(connection, rows[0][-2]) if rows else None


def count_rows(connection: Connection, source: Source, which: Predicates) -> int:
    """How many of the rows there are, exactly."""
    is_reusable = is_plan_reusable(which.shape, source.table.key_names[0])
    statement = _compose(COUNT, source, which.shape)
    [(count,)] = fetch_all(connection, statement, which.parameters, is_reusable=is_reusable)
    return int(count)


def estimate_rows(connection: Connection, source: Source, which: Predicates) -> int:
    """How many of the rows the planner expects, in no time."""
    statement = _compose(ESTIMATE, source, which.shape)
    is_reusable = is_plan_reusable(which.shape, source.table.key_names[0])
    [(text,)] = fetch_all(connection, statement, which.parameters, is_reusable=is_reusable)
    [explained] = msgspec.json.decode(text)
    return int(explained["Plan"]["Plan Rows"])


@lru_cache(STATEMENTS_KEPT)
def _compose_one(source: Source, within: Shape) -> bytes:
    key = tuple(Predicate(name, Operator.EQUAL) for name in source.table.key_names)
    statement = sql.SQL(FETCH_ONE).format(
        columns=show_as(source, source.table.names, Form.JSON),
        etag=source.show_etag(),
        # The whole row: its ETag has the number of its changes.
        rows=source.show_rows(),
        is_asked=compose_predicates(source, key + within, first=1),
        as_declared=source.as_declared(),
    )
    return statement.as_bytes(None)


@lru_cache(STATEMENTS_KEPT)
def _compose_many(source: Source, fields: tuple[str, ...], form: Form, within: Shape) -> bytes:
    types = (f"{column.type.cast or 'text'}[]" for column in source.table.key)
    statement = sql.SQL(FETCH_MANY).format(
        **describe_rows(source, within, fields, first=len(source.table.key) + 1),
        columns=show_as(source, fields, form),
        state=compose_state(source),
        keys=sql.SQL(", ").join(sql.SQL(f"${number}::{kind}") for number, kind in enumerate(types, 1)),
        names=sql.SQL(", ").join(map(sql.Identifier, source.table.key_names)),
        same_key=source.match_key("t", "k"),
    )
    return statement.as_bytes(None)


@lru_cache(STATEMENTS_KEPT)
def _compose(template: str, source: Source, shape: Shape) -> bytes:
    shown = Source(source.table) if template == ESTIMATE else source
    return sql.SQL(template).format(**describe_rows(shown, shape)).as_bytes(None)


def _spell(table: Table, key: Key) -> str:
    return f"{', '.join(table.key_names)} {', '.join(map(str, key))}"
