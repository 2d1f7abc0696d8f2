"""The statements that list orders by their keys, beside the functions that run them.

A page, and what is said of the page before it, come of one statement and so of one moment.
"""

from functools import lru_cache

from psycopg import sql

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.setup_log import KeyNotUnique
from lakebase_api.orders.conditions import Shape, asks_status, compose_conditions
from lakebase_api.orders.lists.listing import Listing, Page, Place, compose_state
from lakebase_api.orders.order import KEY, Source, View, compose_columns
from lakebase_api.orders.reading import SHAPES_KEPT, Reader, Reading

# What a bigint holds: no order comes before or after it.
LEAST_KEY, GREATEST_KEY = -(2**63), 2**63 - 1

# Of the orders before the page, up to some more than fit in one: the least key, and that of the one after
# which the page before starts, if it is among them.
AROUND = """
SELECT concat_ws(' ', coalesce({state}, '-'), min(o_orderkey),
    (array_agg(o_orderkey ORDER BY o_orderkey DESC))[$2])
FROM (
    SELECT t.o_orderkey FROM {narrow_orders} WHERE t.o_orderkey {before} AND {narrow_conditions}
    ORDER BY t.o_orderkey DESC LIMIT {most}
) AS before
"""

FETCH_AFTER = """
SELECT {columns}, ({around}) FROM {orders}
WHERE t.o_orderkey > $1 AND {conditions} AND {gate} ORDER BY t.o_orderkey LIMIT {most}
"""

# The offset walks the key's index alone, from the end that is nearer; whole rows are read from there on.
FETCH_AT = """
WITH start AS MATERIALIZED (
    SELECT t.o_orderkey FROM {narrow_orders} WHERE {narrow_conditions}
    ORDER BY t.o_orderkey {direction} OFFSET $1 LIMIT 1
)
SELECT {columns}, ({around}) FROM {orders}
WHERE t.o_orderkey >= (SELECT o_orderkey FROM start) AND {conditions} AND {gate}
ORDER BY t.o_orderkey LIMIT {most}
"""
FROM_START = "s.o_orderkey >= (SELECT o_orderkey FROM start)"
BEFORE_START = "< (SELECT o_orderkey FROM start)"
UP_TO_BEGIN = "<= $1"


class PagesByKey:
    """Pages in the order of the keys. Safe to share between threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._prepare_around = lru_cache(SHAPES_KEPT)(self._build_around)
        self._prepare_after = lru_cache(SHAPES_KEPT)(self._build_after)
        self._prepare_at = lru_cache(SHAPES_KEPT)(self._build_at)

    def fetch_after(self, connection: Connection, listing: Listing, key: int) -> Page:
        """The page of the orders after a key. Raises psycopg's errors."""
        reading = self._prepare_after(listing.which.shape, listing.columns, listing.most)
        return self._fetch(connection, listing, reading, key, end=key)

    def fetch_at(self, connection: Connection, listing: Listing, page: int, total: int | None = None) -> Page:
        """Page number ``page``, counted from 1; with the number of orders, quicker in the second half.

        Raises psycopg's errors.
        """
        offset, direction = (page - 1) * listing.page_size, "ASC"
        if total is not None and total / 2 < offset < total:
            offset, direction = total - offset - 1, "DESC"
        reading = self._prepare_at(listing.which.shape, listing.columns, listing.most, direction)
        return self._fetch(connection, listing, reading, offset, end=GREATEST_KEY if page > 1 else LEAST_KEY)

    def _fetch(
        self, connection: Connection, listing: Listing, reading: Reading, begin: int, end: int
    ) -> Page:
        """A page; if it has no rows, what is around it is around the key ``end``."""
        beyond, parameters = listing.page_size + 1, listing.which.parameters
        rows = self._reader.read(connection, reading, (begin, beyond, *parameters))
        if rows:
            around = rows[0][-1]
        else:
            reading = self._prepare_around(listing.which.shape, listing.most)
            [(around,)] = self._reader.read(connection, reading, (end, beyond, *parameters))
        state, *before = around.split()
        shown = rows[: listing.page_size]
        following = None
        if len(rows) > len(shown):
            key = listing.columns.index(KEY)
            following = shown[-1][key]
            if following == rows[len(shown)][key]:
                raise KeyNotUnique(f"{KEY} {following} is there more than once")
        is_known = shown and state != "-"
        return Page(shown, _find_previous(*map(int, before)), following, state if is_known else None)

    def _build_around(self, shape: Shape, most: int) -> Reading:
        return self._reader.prepare(
            lambda view: _compose_around(self._reader.source, view, shape, most, UP_TO_BEGIN), shape=shape
        )

    def _build_after(self, shape: Shape, columns: tuple[str, ...], most: int) -> Reading:
        def compose(view: View) -> sql.Composable:
            return sql.SQL(FETCH_AFTER).format(
                **_compose_page(view, shape, columns, most, bound="s.o_orderkey > $1"),
                around=_compose_around(self._reader.source, view, shape, most, UP_TO_BEGIN),
            )

        return self._reader.prepare(compose, shape=shape)

    def _build_at(self, shape: Shape, columns: tuple[str, ...], most: int, direction: str) -> Reading:
        def compose(view: View) -> sql.Composable:
            return sql.SQL(FETCH_AT).format(
                **_compose_page(view, shape, columns, most, bound=FROM_START),
                **_compose_narrow(view, shape),
                around=_compose_around(self._reader.source, view, shape, most, BEFORE_START),
                direction=sql.SQL(direction),
            )

        return self._reader.prepare(compose, shape=shape)


def _find_previous(least: int | None = None, start: int | None = None) -> int | Place | None:
    """Where the page before starts: after the key ``start``, else at the ``least`` key, if there is one."""
    if least is None or start is not None:
        return start
    # No key is less than the least bigint.
    return min(0, least - 1) if least > LEAST_KEY else Place()


def _compose_around(source: Source, view: View, shape: Shape, most: int, before: str) -> sql.Composable:
    return sql.SQL(AROUND).format(
        **_compose_narrow(view, shape, bound=f"s.o_orderkey {before}"),
        before=sql.SQL(before),
        most=sql.Literal(most),
        state=compose_state(source),
    )


def _compose_page(
    view: View, shape: Shape, columns: tuple[str, ...], most: int, bound: str
) -> dict[str, sql.Composable]:
    """The parts of a statement that reads whole rows."""
    return {
        "columns": compose_columns(columns, view.status),
        "orders": view.show(bound=bound),
        "conditions": compose_conditions(shape, view.status, first=3),
        "gate": view.gate,
        "most": sql.Literal(most),
    }


def _compose_narrow(view: View, shape: Shape, bound: str = "true") -> dict[str, sql.Composable]:
    """The parts of a statement that reads keys alone: without the changes, if these do not decide which."""
    narrow = view if asks_status(shape) else view.without_status()
    return {
        "narrow_orders": narrow.show(bound=bound),
        "narrow_conditions": compose_conditions(shape, narrow.status, first=3),
    }
