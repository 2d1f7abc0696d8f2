"""However a list is filtered, sorted and paged: what exists all the while is shown once, in its place."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakebase_api.app import get_service
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.sql import overlay_tables
from tests.conftest import ROLE, clone_database, make_app
from tests.orders.changing import ORDERS_TABLES

# hypothesis looks whether strategies draw random numbers on their own: threads of the app do meanwhile.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

EXAMPLES = 40
KEYS = range(1, 13)
# Few values, so that many orders have the same.
VALUES: dict[str, tuple[Any, ...]] = {
    "o_custkey": (None, 1, 2),
    "o_orderstatus": (None, "F", "O", "P"),
    "o_totalprice": (None, 1.5, 20),
    "o_orderdate": (None, "1996-01-02", "1997-03-04"),
    "o_orderpriority": (None, "1-URGENT", "5-LOW"),
    "o_clerk": (None, "a", "b"),
    "o_shippriority": (None, 0, 1),
    "o_comment": (None, "", "x"),
}
COLUMNS = ("o_orderkey", *VALUES)
FILTERS: dict[str, Any] = {
    "o_custkey": lambda value, wanted: value in wanted,
    "o_orderstatus": lambda value, wanted: value in wanted,
    "o_orderdate_from": lambda value, wanted: value is not None and value >= wanted,
    "o_orderdate_to": lambda value, wanted: value is not None and value <= wanted,
    "o_totalprice_min": lambda value, wanted: value is not None and value >= wanted,
}
SET_UP = f"""
CREATE TABLE few (LIKE orders_synced);
ALTER TABLE few ADD PRIMARY KEY (o_orderkey);
GRANT SELECT ON few TO {ROLE}
"""
BEGIN_AGAIN = "TRUNCATE few, lakebase_api.orders_changes"
DROP = "DELETE FROM few WHERE o_orderkey = %s"
INSERT = "INSERT INTO few SELECT (jsonb_populate_record(NULL::few, %s)).*"
# Without a status the change is withdrawn.
CHANGE = """
INSERT INTO lakebase_api.orders_changes
SELECT %s, '"public"."few"', 1, status, status IS NOT NULL, NULL FROM (SELECT %s::text AS status) AS change
ON CONFLICT (o_orderkey, _source) DO UPDATE
SET o_orderstatus = EXCLUDED.o_orderstatus, _changed_o_orderstatus = EXCLUDED._changed_o_orderstatus
"""

Row = dict[str, Any]
Sort = Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Put:
    """An order comes, or becomes another."""

    key: int
    row: Row

    def make(self, shop: "Shop") -> None:
        shop.put(self.key, self.row)


@dataclass(frozen=True)
class Drop:
    """An order goes."""

    key: int

    def make(self, shop: "Shop") -> None:
        shop.drop(self.key)


@dataclass(frozen=True)
class Change:
    """The status of an order is changed, or the change withdrawn."""

    key: int
    status: str | None

    def make(self, shop: "Shop") -> None:
        shop.change(self.key, self.status)


Move = Put | Drop | Change


@dataclass
class Shop:
    """The table, the app in front of it, and what the table should show."""

    connection: psycopg.Connection
    client: FlaskClient
    rows: dict[int, Row] = field(default_factory=dict)
    statuses: dict[int, str | None] = field(default_factory=dict)

    def begin(self, rows: dict[int, Row], statuses: dict[int, str | None]) -> None:
        self.connection.execute(BEGIN_AGAIN)
        self.rows, self.statuses = {}, {}
        for key, row in rows.items():
            self.put(key, row)
        for key, status in statuses.items():
            self.change(key, status)

    def put(self, key: int, row: Row) -> None:
        self.drop(key)
        self.rows[key] = {"o_orderkey": key, **row}
        self.connection.execute(INSERT, [json.dumps(self.rows[key])])

    def drop(self, key: int) -> None:
        self.rows.pop(key, None)
        self.connection.execute(DROP, [key])

    def change(self, key: int, status: str | None) -> None:
        self.statuses[key] = status
        self.connection.execute(CHANGE, [key, status])

    def expect(self, filters: dict[str, Any], sort: Sort) -> list[int]:
        """The keys that the list should have, in its order."""
        shown = [
            {**row, "o_orderstatus": self.statuses.get(key) or row["o_orderstatus"]}
            for key, row in self.rows.items()
        ]
        kept = [row for row in shown if all(matches(row, name, wanted) for name, wanted in filters.items())]
        kept.sort(key=cmp_to_key(lambda one, other: compare(one, other, sort)))
        return [row["o_orderkey"] for row in kept]

    def ask(self, path: str, query: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        answer = self.client.get(f"/orders/{path}", query_string=query)
        assert answer.status_code == 200, answer.text
        body = answer.json or {}
        return [order["o_orderkey"] for order in body["orders"]], body["pagination"]


def matches(row: Row, name: str, wanted: Any) -> bool:
    column = name.removesuffix("_from").removesuffix("_to").removesuffix("_min")
    return bool(FILTERS[name](row[column], wanted))


def compare(one: Row, other: Row, sort: Sort) -> int:
    """NULL is the greatest, and the key decides at the end."""
    for column, is_descending in (*sort, ("o_orderkey", bool(sort) and sort[-1][1])):
        mine, theirs = ((row[column] is None, row[column]) for row in (one, other))
        if mine != theirs:
            return (1 if mine > theirs else -1) * (-1 if is_descending else 1)
    return 0


@pytest.fixture(scope="module")
def shop(server: EmbeddedPostgres) -> Iterator[Shop]:
    database = clone_database(server, "orders_few")
    with (
        psycopg.connect(server.conninfo(database.name), autocommit=True) as connection,
        ExitStack() as stack,
    ):
        connection.execute(SET_UP)
        overlay_tables.set_up(connection, "lakebase_api", ORDERS_TABLES)
        for grant in overlay_tables.grants("lakebase_api", ROLE, ORDERS_TABLES):
            connection.execute(grant.encode())
        app = make_app(
            {
                **database.environment,
                "DEFAULT_POSTGRES_TABLE": "few",
                "COUNT_TTL": "0",
                "COUNT_BUDGET": "60",
            }
        )
        get_service(app).open()
        stack.callback(get_service(app).close)
        yield Shop(connection, app.test_client())


ROWS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})
TABLES = st.dictionaries(st.sampled_from(KEYS), ROWS, min_size=4)
STATUSES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from((None, "F", "O", "P")), max_size=4)
SORTS = st.lists(st.tuples(st.sampled_from(COLUMNS), st.booleans()), max_size=3, unique_by=lambda key: key[0])
FILTERED = st.fixed_dictionaries(
    {},
    optional={
        "o_custkey": st.sampled_from([[1], [1, 2]]),
        "o_orderstatus": st.sampled_from([["O"], ["F", "P"]]),
        "o_orderdate_from": st.just("1996-01-02"),
        "o_orderdate_to": st.just("1996-12-31"),
        "o_totalprice_min": st.just(1.5),
    },
)
MOVES = st.lists(
    st.one_of(
        st.builds(Put, st.sampled_from(KEYS), ROWS),
        st.builds(Drop, st.sampled_from(KEYS)),
        st.builds(Change, st.sampled_from(KEYS), st.sampled_from((None, "F", "O"))),
    ),
    max_size=6,
)
# The same examples each time: a run that looks for new ones belongs elsewhere.
same_examples = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # the machine may be busy
)


def build_query(filters: dict[str, Any], sort: Sort, page_size: int) -> dict[str, Any]:
    names = ",".join(("-" if is_descending else "") + column for column, is_descending in sort)
    return {**filters, "page_size": page_size, **({"sort": names} if sort else {})}


@same_examples
@given(TABLES, STATUSES, FILTERED, SORTS, st.integers(1, 5))
def test_pages_are_in_order_and_the_same_forward_and_back_and_by_number(
    shop: Shop,
    rows: dict[int, Row],
    statuses: dict[int, str | None],
    filters: dict[str, Any],
    sort: Sort,
    page_size: int,
) -> None:
    shop.begin(rows, statuses)
    expected = shop.expect(filters, sort)
    query = build_query(filters, sort, page_size)
    forward: list[list[int]] = []
    cursor: dict[str, Any] = {}
    while True:
        keys, around = shop.ask("stream", query | cursor)
        forward.append(keys)
        if around["next_cursor"] is None:
            break
        cursor = {"cursor": around["next_cursor"]}
    assert forward == [expected[at : at + page_size] for at in range(0, len(expected), page_size) or [0]]
    back = [keys]
    while around["previous_cursor"] is not None:
        keys, around = shop.ask("stream", query | {"cursor": around["previous_cursor"]})
        back.append(keys)
    assert back == forward[::-1]
    for number, keys in enumerate(forward, 1):
        found, around = shop.ask("pages", query | {"page": number})
        assert (found, around["has_next"]) == (keys, number < len(forward))
        assert around["total_count"] == len(expected)


@same_examples
@given(TABLES, STATUSES, FILTERED, SORTS, st.integers(1, 4), st.lists(MOVES, min_size=1, max_size=6))
def test_orders_that_stay_as_they_are_come_once_whatever_the_others_do(
    shop: Shop,
    rows: dict[int, Row],
    statuses: dict[int, str | None],
    filters: dict[str, Any],
    sort: Sort,
    page_size: int,
    moves: list[list[Move]],
) -> None:
    shop.begin(rows, statuses)
    moving = {move.key for batch in moves for move in batch}
    staying = [key for key in shop.expect(filters, sort) if key not in moving]
    query = build_query(filters, sort, page_size)
    remaining = iter(moves)
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        keys, around = shop.ask("stream", query | cursor)
        seen += keys
        if around["next_cursor"] is None:
            break
        cursor = {"cursor": around["next_cursor"]}
        for move in next(remaining, ()):
            move.make(shop)
    assert [key for key in seen if key not in moving] == staying
    if around["previous_cursor"] is None or isinstance(around["previous_cursor"], int):
        return  # a key says where to begin, not where to end: exact while nothing changes
    remaining, seen = iter(moves[::-1]), keys[::-1]
    while around["previous_cursor"] is not None:
        keys, around = shop.ask("stream", query | {"cursor": around["previous_cursor"]})
        seen += keys[::-1]
        for move in next(remaining, ()):
            move.make(shop)
    assert [key for key in seen if key not in moving] == staying[::-1]
