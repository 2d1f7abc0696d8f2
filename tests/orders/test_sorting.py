"""The order of lists, held against ORDER BY of PostgreSQL."""

import pytest
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem, read, set_status
from tests.orders.varied import COLUMNS, ORDERS, find_keys, keys_of, walk

LISTS = ("/orders/pages", "/orders/stream")
# What is asked for, and the same in SQL.
SORTS = {
    **{column: f"{column} ASC NULLS LAST, o_orderkey" for column in COLUMNS[1:]},
    **{f"-{column}": f"{column} DESC NULLS FIRST, o_orderkey DESC" for column in COLUMNS[1:]},
    "o_orderkey": "o_orderkey",
    "-o_orderkey": "o_orderkey DESC",
    "o_custkey,-o_totalprice": "o_custkey NULLS LAST, o_totalprice DESC NULLS FIRST, o_orderkey DESC",
    "-o_clerk,o_orderdate,-o_shippriority": (
        "o_clerk DESC NULLS FIRST, o_orderdate NULLS LAST, o_shippriority DESC NULLS FIRST, o_orderkey DESC"
    ),
    "o_shippriority,-o_orderstatus,o_comment,-o_orderkey": (
        "o_shippriority NULLS LAST, o_orderstatus DESC NULLS FIRST, o_comment NULLS LAST, o_orderkey DESC"
    ),
    "o_orderpriority,-o_orderkey": "o_orderpriority NULLS LAST, o_orderkey DESC",
    # The key leaves nothing to decide for what comes after it.
    "-o_shippriority,o_orderkey,-o_comment": "o_shippriority DESC NULLS FIRST, o_orderkey",
    "o_orderstatus,-o_orderdate": "o_orderstatus NULLS LAST, o_orderdate DESC NULLS FIRST, o_orderkey DESC",
}
# As many columns as may be, and some that the key leaves nothing to decide for.
MANY_COLUMNS = "-o_comment,-o_shippriority,-o_clerk,-o_orderkey,-o_custkey,-o_totalprice"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(("sort", "by"), SORTS.items())
def test_a_list_is_in_the_order_that_postgresql_has(
    varied_database: OrdersDatabase, lister: FlaskClient, path: str, sort: str, by: str
) -> None:
    expected = find_keys(varied_database, by=by)
    assert keys_of(read(lister, f"{path}?sort={sort}")) == expected


@pytest.mark.parametrize("sort", [*SORTS, MANY_COLUMNS])
def test_pages_by_number_are_those_that_the_stream_shows_in_turn(lister: FlaskClient, sort: str) -> None:
    query = f"sort={sort}&page_size=23"
    pages = walk(lister, f"/orders/pages?{query}")
    assert [len(page) for page in pages] == [23, 23, 14]
    assert walk(lister, f"/orders/stream?{query}") == pages
    assert walk(lister, f"/orders/pages?{query}&page=3", "prev") == pages[::-1]


def test_a_sorted_list_has_the_orders_of_its_filter(
    varied_database: OrdersDatabase, lister: FlaskClient
) -> None:
    where = "WHERE o_custkey IN (2, 3) AND o_orderstatus = 'P'"
    expected = find_keys(varied_database, where, "o_totalprice DESC NULLS FIRST, o_orderkey DESC")
    query = "o_custkey=2&o_custkey=3&o_orderstatus=P&sort=-o_totalprice"
    for path in LISTS:
        assert keys_of(read(lister, f"{path}?{query}")) == expected
        assert walk(lister, f"{path}?{query}&page_size=1") == [[key] for key in expected]


@pytest.mark.parametrize("sort", ["o_orderkey", "-o_totalprice", "o_orderstatus"])
def test_a_page_past_the_end_leads_back_to_the_last_orders(lister: FlaskClient, sort: str) -> None:
    query = f"sort={sort}&page_size=7"
    in_order = keys_of(read(lister, f"/orders/pages?sort={sort}"))
    beyond = read(lister, f"/orders/pages?{query}&page=1000")
    assert beyond["orders"] == []
    assert (beyond["pagination"]["has_next"], beyond["pagination"]["has_previous"]) == (False, True)
    cursor = beyond["pagination"]["previous_cursor"]
    back = walk(lister, f"/orders/stream?{query}&cursor={cursor}", "prev")
    assert back[0] == in_order[-7:]
    assert {key for page in back for key in page} == {*in_order}


def test_the_last_page_that_there_can_be_is_taken_in_any_order(lister: FlaskClient) -> None:
    path = "/orders/pages?page=9007199254740991&page_size=1000"
    for sort in ("o_orderkey", "o_orderkey,o_clerk", "-o_orderkey", "o_clerk"):
        assert read(lister, f"{path}&sort={sort}")["orders"] == []


def test_a_status_is_sorted_by_as_it_was_changed_from_the_first_change_on(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    database.execute("DELETE FROM orders_synced WHERE o_orderkey > 5")
    writer = open_app(database.environment).test_client()
    # A worker for each kind of list: neither may depend on the other's having found the changes.
    workers = {path: open_app(database.environment).test_client() for path in LISTS}

    def look() -> list[list[int]]:
        return [keys_of(read(workers[path], f"{path}?sort=-o_orderstatus")) for path in LISTS]

    for _ in range(6):  # by then the statements are prepared
        assert look() == [[4, 2, 1, 5, 3]] * 2
    assert set_status(writer, 1, "P").status_code == 200
    assert set_status(writer, 4, "F").status_code == 200
    assert look() == [[1, 2, 5, 4, 3]] * 2


def test_the_order_by_key_is_the_default_one_however_it_is_asked_for(lister: FlaskClient) -> None:
    plain = read(lister, "/orders/stream?page_size=5")
    for sort in ("o_orderkey", "o_orderkey,-o_totalprice"):
        asked = read(lister, f"/orders/stream?page_size=5&sort={sort}")
        assert asked["pagination"] == plain["pagination"]
        assert asked["orders"] == plain["orders"]


def test_every_order_is_in_a_sorted_list_once(lister: FlaskClient) -> None:
    pages = walk(lister, f"/orders/stream?sort={MANY_COLUMNS}&page_size=1")
    assert len({key for [key] in pages}) == len(pages) == ORDERS


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "sort",
    [
        "",
        ",",
        "-",
        "--o_clerk",
        "+o_clerk",
        "o_clerk,",
        "o_clerk,,o_custkey",
        "o_clerk,%20o_custkey",
        "O_CLERK",
        "clerk",
        "o_clerk;o_custkey",
        "o_clerk%20DESC",
        "o_clerk%00",
        "o_clerk,o_clerk",
        "o_clerk,-o_clerk",
        "o_orderkey,o_orderkey",
        "o_clerk,o_custkey,o_comment,o_orderdate",
        ",".join(COLUMNS[::-1]),
    ],
)
def test_a_sort_that_is_none_is_refused_by_name(lister: FlaskClient, path: str, sort: str) -> None:
    body = assert_problem(lister.get(f"{path}?sort={sort}"), 422, "invalid-request")
    assert [(item["in"], item["name"]) for item in body["errors"]] == [("query", "sort")]


def test_a_count_and_a_sample_have_no_order(lister: FlaskClient) -> None:
    for path in ("/orders/count", "/orders/sample"):
        assert_problem(lister.get(f"{path}?sort=o_clerk"), 422, "invalid-request")
