"""The order in which orders are listed, and what comes after a place in it.

NULL is greater than every value, as PostgreSQL has it unless told otherwise, so that one index serves both
directions: https://www.postgresql.org/docs/current/queries-order.html
"""

from collections.abc import Iterator
from typing import NamedTuple

from psycopg import sql

from lakebase_api.orders.conditions import (
    EQUAL,
    GREATER,
    IS_NOT_NULL,
    IS_NULL,
    LESS,
    Conditions,
    restrict,
)
from lakebase_api.orders.order import COLUMNS, KEY, compose_column


class SortKey(NamedTuple):
    """A column to sort by."""

    column: str
    is_descending: bool = False


Sort = tuple[SortKey, ...]

BY_KEY: Sort = (SortKey(KEY),)

# Columns to sort by, beside the key. What comes after a row is up to two ranges for each, and each range
# without an index is a walk through the whole table.
MOST_COLUMNS = 3


def parse_sort(text: str) -> Sort:
    """The order that ``-o_totalprice,o_clerk`` asks for, ended by the key, which no two orders share.

    Raises ``ValueError`` with a message for the caller.
    """
    sort: list[SortKey] = []
    for part in text.split(","):
        column = part.removeprefix("-")
        if column not in COLUMNS:
            raise ValueError(f"Must be columns, each with a - before it to descend, of {', '.join(COLUMNS)}.")
        if any(column == key.column for key in sort):
            raise ValueError(f"Names {column} twice.")
        sort.append(SortKey(column, part.startswith("-")))
    columns = [key.column for key in sort]
    if KEY in columns:
        sort = sort[: columns.index(KEY) + 1]
    else:
        sort.append(SortKey(KEY, sort[-1].is_descending))
    if len(sort) > MOST_COLUMNS + 1:
        raise ValueError(f"Must be at most {MOST_COLUMNS} columns beside {KEY}.")
    return tuple(sort)


def reverse(sort: Sort) -> Sort:
    """The same order from its end."""
    return tuple(SortKey(key.column, not key.is_descending) for key in sort)


def find_ranges_after(sort: Sort, values: tuple[object, ...]) -> list[Conditions]:
    """What comes after the row with these values in the sort's columns: ranges that follow each other.

    First the rows that differ in the last column alone, at the end those that differ in the first. Each is a
    plain range of an index on the sort's columns, and no row is in two of them.
    """
    return [
        sum(map(_equal, sort[:depth], values), Conditions()) + bound
        for depth in reversed(range(len(sort)))
        for bound in _find_bounds_after(sort[depth], values[depth])
    ]


def compose_sort(sort: Sort, status: sql.Composable) -> sql.Composable:
    """What to order the orders ``t`` by, with this expression for the status."""
    return sql.SQL(", ").join(
        compose_column(key.column, status) + sql.SQL(" DESC" if key.is_descending else "") for key in sort
    )


def _equal(key: SortKey, value: object) -> Conditions:
    return restrict(key.column, IS_NULL) if value is None else restrict(key.column, EQUAL, value)


def _find_bounds_after(key: SortKey, value: object) -> Iterator[Conditions]:
    if value is None:
        if key.is_descending:
            yield restrict(key.column, IS_NOT_NULL)
    elif key.is_descending:
        yield restrict(key.column, LESS, value)
    else:
        yield restrict(key.column, GREATER, value)
        if key.column != KEY:
            yield restrict(key.column, IS_NULL)
