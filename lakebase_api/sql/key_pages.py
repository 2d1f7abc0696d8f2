"""The statements that list rows by a key that is a whole number, beside the functions that run them.

A page, and what is said of the page before it, come of one statement and so of one moment.
"""

from functools import lru_cache
from typing import NamedTuple

from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.setup_faults import KeyNotUnique
from lakebase_api.sql.page import Listing, Page, Position, read_at_most
from lakebase_api.sql.predicates import Shape, describe_rows, is_plan_reusable
from lakebase_api.sql.rows import STATEMENTS_KEPT, fetch_all
from lakebase_api.sql.shown import Form, show_as
from lakebase_api.sql.source import Source
from lakebase_api.sql.state import compose_state, settle_state
from lakebase_api.table.values import MAX_BIGINT, MIN_BIGINT

# Of the rows before the page, up to one more than fit in one: the least key, and that of the one after
# which the page before starts, if it is among them.
NEIGHBOURS = """
SELECT concat_ws(' ', coalesce({state}, '-'), min(before.key),
    (array_agg(before.key ORDER BY before.key DESC))[$2])
FROM ({rows_before}) AS before
"""
ROWS_BEFORE = """
SELECT {key} AS key FROM {rows}
WHERE {key} {before} AND {predicates} ORDER BY {key} DESC LIMIT {limit}
"""

FETCH_AFTER = """
SELECT {columns}, ({neighbours}) FROM {rows}
WHERE {key} > $1 AND {predicates} AND {as_declared} ORDER BY {key} LIMIT {limit}
"""

# The offset walks the key's index alone, from the end that is nearer; whole rows are read from there on.
FETCH_AT = """
WITH start AS MATERIALIZED (
    SELECT {key} AS key FROM {start_rows} WHERE {predicates}
    ORDER BY {key} {direction} OFFSET $1 LIMIT 1
)
SELECT {columns}, ({neighbours}) FROM {rows}
WHERE {key} >= (SELECT start.key FROM start) AND {predicates} AND {as_declared}
ORDER BY {key} LIMIT {limit}
"""
AFTER_BEGIN = "> $1"
FROM_START = ">= (SELECT start.key FROM start)"
BEFORE_START = "< (SELECT start.key FROM start)"
UP_TO_BEGIN = "<= $1"
LIMIT = sql.SQL("$2")
# Values of predicates come behind where to begin and how many rows to read.
FIRST_VALUE = 3


class StatementShape(NamedTuple):
    """What makes a statement, which is all but its values."""

    predicates: Shape
    columns: tuple[str, ...]
    form: Form
    planned_limit: int
    is_planned: bool


def fetch_after(connection: Connection, source: Source, listing: Listing, key: int) -> Page:
    """The page of the rows after a key. Raises ``KeyNotUnique`` and psycopg's errors."""
    statement = _compose_after(source, _find_shape(listing))
    return _fetch(connection, source, listing, statement, key, end=key)


def fetch_at(
    connection: Connection, source: Source, listing: Listing, page: int, total: int | None = None
) -> Page:
    """Page number ``page``, counted from 1; with the number of rows, quicker in the second half.

    Raises ``KeyNotUnique`` and psycopg's errors.
    """
    offset, direction = (page - 1) * listing.page_size, "ASC"
    if total is not None and total / 2 < offset < total:
        offset, direction = total - offset - 1, "DESC"
    statement = _compose_at(source, _find_shape(listing), direction)
    end = MAX_BIGINT if page > 1 else MIN_BIGINT
    return _fetch(connection, source, listing, statement, offset, end=end)


def _find_shape(listing: Listing) -> StatementShape:
    return StatementShape(
        listing.which.shape, listing.columns, listing.form, listing.planned_limit, listing.is_planned
    )


def _fetch(
    connection: Connection, source: Source, listing: Listing, statement: bytes, begin: int, end: int
) -> Page:
    """A page; if it has no rows, its neighbours are those of the key ``end``."""
    [name] = source.table.key_names
    is_reusable = is_plan_reusable(listing.which.shape, name)
    values = (listing.limit, *listing.which.parameters)
    rows = fetch_all(connection, statement, (begin, *values), is_reusable=is_reusable)
    if rows:
        neighbours = rows[0][-1]
    else:
        statement = _compose_neighbours(source, _find_shape(listing))
        [(neighbours,)] = fetch_all(connection, statement, (end, *values), is_reusable=is_reusable)
    state, *before = neighbours.split()
    shown = rows[: listing.page_size]
    following = None
    if len(rows) > len(shown):
        place = listing.columns.index(name)
        following = shown[-1][place]
        if following == rows[len(shown)][place]:
            raise KeyNotUnique(f"{name} {following} is there more than once")
    known = settle_state(connection, state) if shown and state != "-" else None
    return Page(shown, _find_previous(*map(int, before)), following, known)


def _find_previous(least: int | None = None, start: int | None = None) -> int | Position | None:
    """Where the page before starts: after the key ``start``, else at the ``least`` key, if there is one."""
    if least is None or start is not None:
        return start
    # No key is less than the least bigint.
    return min(0, least - 1) if least > MIN_BIGINT else Position()


@lru_cache(STATEMENTS_KEPT)
def _compose_neighbours(source: Source, shape: StatementShape) -> bytes:
    return _describe_neighbours(source, shape, UP_TO_BEGIN).as_bytes(None)


@lru_cache(STATEMENTS_KEPT)
def _compose_after(source: Source, shape: StatementShape) -> bytes:
    statement = sql.SQL(FETCH_AFTER).format(
        **_describe_page(source, shape, AFTER_BEGIN),
        neighbours=_describe_neighbours(source, shape, UP_TO_BEGIN),
    )
    return (statement if shape.is_planned else read_at_most(statement, LIMIT)).as_bytes(None)


@lru_cache(STATEMENTS_KEPT)
def _compose_at(source: Source, shape: StatementShape, direction: str) -> bytes:
    statement = sql.SQL(FETCH_AT).format(
        **_describe_page(source, shape, FROM_START),
        start_rows=describe_rows(source, shape.predicates)["rows"],
        neighbours=_describe_neighbours(source, shape, BEFORE_START),
        direction=sql.SQL(direction),
    )
    return (statement if shape.is_planned else read_at_most(statement, LIMIT)).as_bytes(None)


def _describe_neighbours(source: Source, shape: StatementShape, before: str) -> sql.Composable:
    rows_before: sql.Composable = sql.SQL(ROWS_BEFORE).format(
        **_describe_rows(source, shape, before), before=sql.SQL(before)
    )
    if not shape.is_planned:
        rows_before = read_at_most(rows_before, LIMIT)
    return sql.SQL(NEIGHBOURS).format(state=compose_state(source), rows_before=rows_before)


def _describe_page(source: Source, shape: StatementShape, bound: str) -> dict[str, sql.Composable]:
    """The parts of a statement that reads whole rows."""
    return {
        **_describe_rows(source, shape, bound, shape.columns),
        "columns": show_as(source, shape.columns, shape.form),
    }


def _describe_rows(
    source: Source, shape: StatementShape, bound: str, columns: tuple[str, ...] = ()
) -> dict[str, sql.Composable]:
    """The parts of a statement that reads keys, or these columns too; ``bound`` is what is known of the keys.

    Without the changes, if these do not decide which rows there are, and no column shows them.
    """
    known = source.key_of("s") + sql.SQL(f" {bound}")
    return {
        **describe_rows(source, shape.predicates, columns, first=FIRST_VALUE, bound=known),
        "key": source.key_of(),
        "limit": sql.Literal(shape.planned_limit),
    }
