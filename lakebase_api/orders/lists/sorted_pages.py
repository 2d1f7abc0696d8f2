"""The statements that list orders by any columns, beside the function that runs them."""

from dataclasses import dataclass
from functools import lru_cache

from psycopg import sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.setup_log import KeyNotUnique
from lakebase_api.orders.conditions import Conditions, Shape, asks_status, compose_conditions, count_values
from lakebase_api.orders.lists.listing import Listing, Page, Place, compose_state
from lakebase_api.orders.lists.sorting import Sort, compose_sort, find_ranges_after, reverse
from lakebase_api.orders.order import KEY, STATUS, View, compose_columns
from lakebase_api.orders.reading import SHAPES_KEPT, Reader, Reading

# The ranges follow each other in the order asked for: PostgreSQL merges them, and reads none further than it
# must. What has changed is looked up for the rows of the page alone, unless it decides which they are.
FETCH = "SELECT {columns}, {state} FROM {orders} WHERE {gate} ORDER BY {sort} LIMIT {most}"
RANGE = """
(SELECT {columns} FROM {orders}
 WHERE {range} AND {conditions} AND {gate} ORDER BY {sort} {offset} LIMIT {most})
"""


@dataclass(frozen=True)
class Outline:
    """What makes a statement, which is all but its values. The sort ends with the key."""

    conditions: Shape
    ranges: tuple[Shape, ...]
    columns: tuple[str, ...]
    sort: Sort
    most: int
    has_offset: bool

    @property
    def is_by_status(self) -> bool:
        """Whether the status decides which rows there are."""
        return asks_status(self.conditions) or any(key.column == STATUS for key in self.sort)


class SortedPages:
    """Pages in any order. Safe to share between threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._prepare = lru_cache(SHAPES_KEPT)(self._build)

    def fetch(self, connection: Connection, listing: Listing, place: Place, offset: int = 0) -> Page:
        """The page at a place, or so many orders from the beginning. Raises psycopg's errors."""
        sort = reverse(listing.sort) if place.is_backward else listing.sort
        ranges = find_ranges_after(sort, place.values) if place.values else [Conditions()]
        shapes = tuple(found.shape for found in ranges)
        reading = self._prepare(
            Outline(listing.which.shape, shapes, listing.columns, sort, listing.most, bool(offset))
        )
        values = [value for found in ranges for value in found.values] + [offset] * bool(offset)
        rows = self._reader.read(connection, reading, (*listing.which.parameters, *values))
        shown = rows[: listing.page_size]
        has_more, has_come = len(rows) > len(shown), bool(place.values or offset)
        if has_more and _find_place(listing, rows, len(shown) - 1) == _find_place(listing, rows, len(shown)):
            raise KeyNotUnique(f"a {KEY} is there more than once")
        if place.is_backward:
            shown.reverse()
            has_more, has_come = has_come, has_more
        return Page(
            shown,
            previous=Place(_find_place(listing, shown, 0), is_backward=True) if has_come else None,
            next=Place(_find_place(listing, shown, -1)) if has_more else None,
            state=shown[0][-1] if shown else None,
        )

    def _build(self, outline: Outline) -> Reading:
        def compose(view: View) -> sql.Composable:
            inner, outer = view.without_status(), view
            if outline.is_by_status:
                inner, outer = outer, inner
            return sql.SQL(FETCH).format(
                columns=compose_columns(outline.columns, outer.status),
                state=compose_state(self._reader.source),
                orders=outer.show(_compose_ranges(inner, outline)),
                gate=outer.gate,
                sort=compose_sort(outline.sort, outer.status),
                most=sql.Literal(outline.most),
            )

        return self._reader.prepare(compose, shape=outline.conditions, walked=outline.sort[0].column)


def _compose_ranges(view: View, outline: Outline) -> sql.Composable:
    composed = []
    first = 1 + count_values(outline.conditions)
    # With an offset there is one range, and it has no values.
    offset = sql.SQL(f"OFFSET ${first}" if outline.has_offset else "")
    for bounds in outline.ranges:
        composed.append(
            sql.SQL(RANGE).format(
                columns=compose_columns(dict.fromkeys((*outline.columns, STATUS)), view.status),
                orders=view.show(),
                range=compose_conditions(bounds, view.status, first),
                conditions=compose_conditions(outline.conditions, view.status, first=1),
                gate=view.gate,
                sort=compose_sort(outline.sort, view.status),
                offset=offset,
                most=sql.Literal(outline.most),
            )
        )
        first += count_values(bounds)
    return sql.SQL("({})").format(sql.SQL("UNION ALL").join(composed))


def _find_place(listing: Listing, rows: list[TupleRow], index: int) -> tuple[object, ...]:
    """The values that say the place of one of the rows; none where there are no rows."""
    if not rows:
        return ()
    row = dict(zip(listing.columns, rows[index], strict=False))
    return tuple(row[key.column] for key in listing.sort)
