"""The statements that list rows by any columns, beside the function that runs them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from psycopg import sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.setup_faults import KeyNotUnique
from lakebase_api.sql.page import Listing, Page, Position, read_at_most
from lakebase_api.sql.predicates import (
    Predicates,
    Shape,
    compose_predicates,
    count_values,
    describe_rows,
    is_plan_reusable,
    name_columns,
)
from lakebase_api.sql.rows import STATEMENTS_KEPT, fetch_all
from lakebase_api.sql.shown import Form, show_as
from lakebase_api.sql.sorting import Sort, compose_sort, find_ranges_after, reverse
from lakebase_api.sql.source import Source
from lakebase_api.sql.state import compose_state, settle_state

# The ranges follow each other in the order asked for: PostgreSQL merges them, and reads none further than it
# must. What has changed is looked up for the rows of the page alone, unless it decides which they are.
FETCH = "SELECT {columns}, {state} FROM {rows} WHERE {as_declared} ORDER BY {sort} LIMIT {limit}"
RANGE = """
(SELECT {columns} FROM {rows}
 WHERE {range} AND {predicates} AND {as_declared} ORDER BY {sort} {offset} LIMIT {limit})
"""


class StatementShape(NamedTuple):
    """What makes a statement, which is all but its values. The sort ends with the key."""

    predicates: Shape
    ranges: tuple[Shape, ...]
    columns: tuple[str, ...]
    form: Form
    sort: Sort
    planned_limit: int
    is_planned: bool
    has_offset: bool

    @property
    def deciding(self) -> frozenset[str]:
        """The columns that decide which rows there are."""
        return name_columns(self.predicates) | {key.column for key in self.sort}


def fetch_sorted(
    connection: Connection, source: Source, listing: Listing, position: Position, offset: int = 0
) -> Page:
    """The page at a position, or so many rows from the beginning.

    Raises ``KeyNotUnique`` and psycopg's errors.
    """
    sort = reverse(listing.sort) if position.is_backward else listing.sort
    ranges = find_ranges_after(source.table, sort, position.values) if position.values else [Predicates()]
    rows = _fetch(connection, source, listing, sort, ranges, offset)
    shown = rows[: listing.page_size]
    has_more, has_come = len(rows) > len(shown), bool(position.values or offset)
    if has_more and _find_values(listing, rows, len(shown) - 1) == _find_values(listing, rows, len(shown)):
        raise KeyNotUnique(f"a {', '.join(source.table.key_names)} is there more than once")
    if position.is_backward:
        shown.reverse()
        has_more, has_come = has_come, has_more
    return Page(
        shown,
        previous=Position(_find_values(listing, shown, 0), is_backward=True) if has_come else None,
        next=Position(_find_values(listing, shown, -1)) if has_more else None,
        state=settle_state(connection, shown[0][-1]) if shown else None,
    )


def _fetch(
    connection: Connection,
    source: Source,
    listing: Listing,
    sort: Sort,
    ranges: Sequence[Predicates],
    offset: int,
) -> list[TupleRow]:
    shape = StatementShape(
        predicates=listing.which.shape,
        ranges=tuple(found.shape for found in ranges),
        columns=listing.columns,
        form=listing.form,
        sort=sort,
        planned_limit=listing.planned_limit,
        is_planned=listing.is_planned,
        has_offset=bool(offset),
    )
    values = [*listing.which.parameters, *(value for found in ranges for value in found.values)]
    values += [offset] * bool(offset) + [listing.limit] * (not listing.is_planned)
    is_reusable = is_plan_reusable(listing.which.shape, walked=sort[0].column)
    return fetch_all(connection, _compose(source, shape), values, is_reusable=is_reusable)


@lru_cache(STATEMENTS_KEPT)
def _compose(source: Source, shape: StatementShape) -> bytes:
    inner, outer = Source(source.table), source
    if source.is_overlaid(shape.deciding):
        inner, outer = outer, inner
    ranges, next_value = _compose_ranges(inner, shape)
    statement: sql.Composable = sql.SQL(FETCH).format(
        columns=show_as(outer, shape.columns, shape.form),
        state=compose_state(source),
        rows=outer.show_rows(shape.columns, of=ranges),
        as_declared=outer.as_declared(),
        sort=compose_sort(outer, shape.sort),
        limit=sql.Literal(shape.planned_limit),
    )
    if not shape.is_planned:
        statement = read_at_most(statement, sql.SQL(f"${next_value}"))
    return statement.as_bytes(None)


def _compose_ranges(source: Source, shape: StatementShape) -> tuple[sql.Composable, int]:
    """The rows of the ranges, and the number of the first value that they do not take."""
    composed = []
    first = 1 + count_values(shape.predicates)
    # With an offset there is one range, and it has no values.
    offset = sql.SQL(f"OFFSET ${first}" if shape.has_offset else "")
    # The key too, by which changes are found.
    columns = dict.fromkeys((*shape.columns, *source.table.key_names))
    for bounds in shape.ranges:
        composed.append(
            sql.SQL(RANGE).format(
                **describe_rows(source, shape.predicates, {*columns, *shape.deciding}),
                columns=source.show_columns(columns),
                range=compose_predicates(source, bounds, first),
                sort=compose_sort(source, shape.sort),
                offset=offset,
                limit=sql.Literal(shape.planned_limit),
            )
        )
        first += count_values(bounds)
    return sql.SQL("({})").format(sql.SQL("UNION ALL").join(composed)), first + shape.has_offset


def _find_values(listing: Listing, rows: list[TupleRow], index: int) -> tuple[object, ...]:
    """The values that say the position of one of the rows; none where there are no rows."""
    if not rows:
        return ()
    row = dict(zip(listing.columns, rows[index], strict=False))
    return tuple(row[key.column] for key in listing.sort)
