"""The order in which rows are listed, and what comes after a position in it.

NULL is greater than every value, as PostgreSQL has it unless told otherwise, so that one index serves both
directions: https://www.postgresql.org/docs/current/queries-order.html
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from psycopg import sql

from lakebase_api.sql.predicates import Operator, Predicates, restrict
from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Table


class SortKey(NamedTuple):
    """A column to sort by."""

    column: str
    is_descending: bool = False


Sort = tuple[SortKey, ...]

# Columns to sort by, beside the key. What comes after a row is up to two ranges for each, and each range
# without an index is a walk through the whole table.
MAX_COLUMNS = 3


@cache
def sort_by_key(table: Table) -> Sort:
    """The order of the keys."""
    return tuple(SortKey(name) for name in table.key_names)


def parse_sort(text: str, table: Table) -> Sort:
    """The order that ``-o_totalprice,o_clerk`` asks for, ended by the key, which no two rows share.

    Raises ``ValueError`` with a message for the caller.
    """
    sort: list[SortKey] = []
    for part in text.split(","):
        column = part.removeprefix("-")
        if column not in table.sortable:
            known = ", ".join(table.sortable)
            raise ValueError(f"Must be columns, each with a - before it to descend, of {known}.")
        if any(column == key.column for key in sort):
            raise ValueError(f"Names {column} twice.")
        sort.append(SortKey(column, part.startswith("-")))
    return end_with_key(sort, table)


def end_with_key(sort: list[SortKey], table: Table) -> Sort:
    """The order with the rest of the key behind it, and without what no longer counts behind the key."""
    columns = [key.column for key in sort]
    if all(name in columns for name in table.key_names):
        sort = sort[: max(map(columns.index, table.key_names)) + 1]
    else:
        is_descending = sort[-1].is_descending
        sort = [*sort, *(SortKey(name, is_descending) for name in table.key_names if name not in columns)]
    if sum(key.column not in table.key_names for key in sort) > MAX_COLUMNS:
        raise ValueError(f"Must be at most {MAX_COLUMNS} columns beside {', '.join(table.key_names)}.")
    return tuple(sort)


def reverse(sort: Sort) -> Sort:
    """The same order from its end."""
    return tuple(SortKey(key.column, not key.is_descending) for key in sort)


def find_ranges_after(table: Table, sort: Sort, values: tuple[object, ...]) -> list[Predicates]:
    """What comes after the row with these values in the sort's columns: ranges that follow each other.

    First the rows that differ in the last column alone, at the end those that differ in the first. Each is a
    plain range of an index on the sort's columns, and no row is in two of them.
    """
    return [
        sum(map(_equal, sort[:depth], values), Predicates()) + bound
        for depth in reversed(range(len(sort)))
        for bound in _find_bounds_after(table, sort[depth], values[depth])
    ]


def compose_sort(source: Source, sort: Sort) -> sql.Composable:
    """What to order the rows ``t`` by."""
    return sql.SQL(", ").join(
        source.show_column(key.column) + sql.SQL(" DESC" if key.is_descending else "") for key in sort
    )


def _equal(key: SortKey, value: object) -> Predicates:
    if value is None:
        return restrict(key.column, Operator.IS_NULL)
    return restrict(key.column, Operator.EQUAL, value, is_own=True)


def _find_bounds_after(table: Table, key: SortKey, value: object) -> Iterator[Predicates]:
    if value is None:
        if key.is_descending:
            yield restrict(key.column, Operator.IS_NOT_NULL)
    elif key.is_descending:
        yield restrict(key.column, Operator.LESS, value, is_own=True)
    else:
        yield restrict(key.column, Operator.GREATER, value, is_own=True)
        if key.column not in table.key_names:
            yield restrict(key.column, Operator.IS_NULL)
