"""Which orders the filters let through, wherever they are taken."""

from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from lakebase_api.sql import sample as sampling
from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem, read, set_status, withdraw
from tests.orders.varied import CHANGED, WITHDRAWN, find_keys, keys_of, walk

LISTS = ("/orders/pages", "/orders/stream", "/orders/count", "/orders/sample")
ODD_CLERK = quote('é, "Ü" & 100%+')
# A query, and the same in SQL.
FILTERS = {
    "o_custkey=2": "o_custkey = 2",
    "o_custkey=2&o_custkey=4": "o_custkey IN (2, 4)",
    "o_custkey=9007199254740993": "o_custkey = 9007199254740993",
    "o_orderstatus=P": "o_orderstatus = 'P'",
    "o_orderstatus=O&o_orderstatus=F": "o_orderstatus IN ('O', 'F')",
    "o_orderpriority=5-LOW": "o_orderpriority = '5-LOW'",
    "o_orderpriority=5-LOW&o_orderpriority=1-URGENT": "o_orderpriority IN ('5-LOW', '1-URGENT')",
    f"o_clerk={ODD_CLERK}": "o_clerk LIKE 'é%'",
    f"o_clerk=Clerk%231&o_clerk={ODD_CLERK}": "o_clerk LIKE 'é%' OR o_clerk = 'Clerk#1'",
    "o_orderdate_from=1996-02-29": "o_orderdate >= '1996-02-29'",
    "o_orderdate_to=1996-02-29": "o_orderdate <= '1996-02-29'",
    "o_orderdate_from=1996-02-29&o_orderdate_to=1996-02-29": "o_orderdate = '1996-02-29'",
    "o_totalprice_min=100.75": "o_totalprice >= 100.75",
    "o_totalprice_max=-99.75": "o_totalprice <= -99.75",
    "o_totalprice_min=-99.75&o_totalprice_max=0.50": "o_totalprice BETWEEN -99.75 AND 0.5",
    "o_totalprice_min=-99.7501&o_totalprice_max=-99.7499": "o_totalprice = -99.75",
    "o_orderstatus=P&o_custkey=2&o_custkey=3&o_totalprice_min=-100": (
        "o_orderstatus = 'P' AND o_custkey IN (2, 3) AND o_totalprice >= -100"
    ),
    "o_clerk=clerk%231": "false",
    "o_orderdate_from=1996-03-01&o_orderdate_to=1996-02-01": "false",
    "o_totalprice_min=-0": "o_totalprice >= 0",
    "o_custkey=-0": "false",
    "o_custkey=-1": "false",
    "o_custkey=9223372036854775807": "false",
    "o_totalprice_min=9999999999999999.9999": "false",
    "o_orderdate_from=9999-12-31": "false",
    "o_orderdate_from=0001-01-01": "o_orderdate IS NOT NULL",
}
# A query that is refused; the name of its first parameter is in the answer.
REFUSED = [
    "o_custkey=",
    "o_custkey=abc",
    "o_custkey=1.0",
    "o_custkey=1_0",
    "o_custkey=%201",
    "o_custkey=%D9%A3",
    "o_custkey=9223372036854775808",
    f"o_custkey={'9' * 5000}",
    "o_custkey=1%00",
    "o_orderstatus=",
    "o_orderstatus=X",
    "o_orderstatus=f",
    "o_orderstatus=F%00",
    "o_orderstatus=F&o_orderstatus=X",
    "o_orderpriority=",
    "o_orderpriority=%00",
    "o_orderpriority=5-LOW%0A",
    "o_clerk=",
    "o_clerk=a%00b",
    f"o_clerk={'x' * 101}",
    "o_clerk=a&" + "&".join(f"o_clerk={number}" for number in range(50)),
    "o_orderdate_from=",
    "o_orderdate_from=0000-01-01",
    "o_orderdate_from=10000-01-01",
    "o_orderdate_from=-001-01-01",
    "o_orderdate_from=1996-02-30",
    "o_orderdate_from=19960101",
    "o_orderdate_from=1996-W01-1",
    "o_orderdate_from=1996-01-02T00:00:00",
    "o_orderdate_from=infinity",
    "o_orderdate_to=1996-01-0%D9%A3",
    "o_orderdate_to=1996-01-02%00",
    "o_orderdate_to=1996-01-02%0A",
    "o_totalprice_min=",
    "o_totalprice_min=NaN",
    "o_totalprice_min=Infinity",
    "o_totalprice_min=1e5",
    "o_totalprice_min=%2B1",
    "o_totalprice_min=1,5",
    "o_totalprice_min=.5",
    "o_totalprice_max=10000000000000000",
    f"o_totalprice_max={'9' * 5000}",
    "o_totalprice_max=0.00001",
    "o_totalprice_max=1%00",
    "o_totalprice_max=%D9%A3",
]


@pytest.mark.parametrize(("query", "where"), FILTERS.items())
def test_a_filter_lets_the_same_orders_through_everywhere(
    varied_database: OrdersDatabase, lister: FlaskClient, query: str, where: str
) -> None:
    expected = find_keys(varied_database, f"WHERE {where}")
    assert keys_of(read(lister, f"/orders/stream?{query}")) == expected
    assert keys_of(read(lister, f"/orders/pages?{query}")) == expected
    assert read(lister, f"/orders/count?{query}&accuracy=exact")["total_orders"] == len(expected)
    sample = read(lister, f"/orders/sample?{query}")["sample_order_keys"]
    assert len(set(sample)) == min(5, len(expected))
    assert set(sample) <= set(expected)


def test_the_filters_of_these_tests_leave_some_orders_and_not_all(varied_database: OrdersDatabase) -> None:
    found = [len(find_keys(varied_database, f"WHERE {where}")) for where in FILTERS.values()]
    assert found.count(0) == 7
    assert max(found) < 60


@pytest.mark.parametrize(("query", "where"), FILTERS.items())
def test_orders_are_sampled_from_all_that_a_filter_lets_through_where_they_are_many(
    varied_database: OrdersDatabase,
    lister: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    where: str,
) -> None:
    monkeypatch.setattr(sampling, "SAMPLED_WHOLE", 0)
    monkeypatch.setattr(sampling, "SAMPLE_WALK", 3)
    expected = find_keys(varied_database, f"WHERE {where}")
    sample = read(lister, f"/orders/sample?{query}")["sample_order_keys"]
    assert len(set(sample)) == min(5, len(expected))
    assert set(sample) <= set(expected)


def test_fifty_values_are_taken_in_any_order_and_however_often(
    varied_database: OrdersDatabase, lister: FlaskClient
) -> None:
    query = "&".join(f"o_custkey={number % 3 + 1}" for number in range(50))
    expected = find_keys(varied_database, "WHERE o_custkey IN (1, 2, 3)")
    assert keys_of(read(lister, f"/orders/stream?{query}")) == expected


def test_a_filter_goes_with_the_links_through_all_pages(
    varied_database: OrdersDatabase, lister: FlaskClient
) -> None:
    query = f"o_clerk=Clerk%231&o_clerk={ODD_CLERK}&page_size=4"
    expected = find_keys(varied_database, "WHERE o_clerk LIKE 'é%' OR o_clerk = 'Clerk#1'")
    for path in ("/orders/stream", "/orders/pages"):
        pages = walk(lister, f"{path}?{query}")
        assert [len(page) for page in pages[:-1]] == [4] * (len(pages) - 1)
        assert [key for page in pages for key in page] == expected


def test_a_page_counts_the_orders_that_the_filter_lets_through(
    varied_database: OrdersDatabase, lister: FlaskClient
) -> None:
    total = len(find_keys(varied_database, "WHERE o_orderstatus = 'P'"))
    pagination = read(lister, "/orders/pages?o_orderstatus=P&page_size=4")["pagination"]
    assert (pagination["total_count"], pagination["total_pages"]) == (total, -(-total // 4))


@pytest.mark.parametrize("page_size", [1, 4])
def test_the_way_back_shows_changed_statuses_too(
    varied_database: OrdersDatabase, lister: FlaskClient, page_size: int
) -> None:
    expected = find_keys(varied_database, "WHERE o_orderstatus = 'P'")
    pages = [expected[begin : begin + page_size] for begin in range(0, len(expected), page_size)]
    path = f"/orders/stream?o_orderstatus=P&page_size={page_size}&cursor={pages[-2][-1]}"
    assert walk(lister, path, "prev") == pages[::-1]


def test_a_page_beyond_the_end_of_a_filter_leads_back_to_its_last_orders(
    varied_database: OrdersDatabase, lister: FlaskClient
) -> None:
    query = "o_custkey=2&page_size=5"
    beyond = read(lister, f"/orders/pages?{query}&page=100")
    assert beyond["orders"] == []
    assert (beyond["pagination"]["has_next"], beyond["pagination"]["has_previous"]) == (False, True)
    cursor = beyond["pagination"]["previous_cursor"]
    expected = find_keys(varied_database, "WHERE o_custkey = 2")
    assert keys_of(read(lister, f"/orders/stream?{query}&cursor={cursor}")) == expected[-5:]


def test_nothing_is_around_a_list_without_orders(lister: FlaskClient) -> None:
    for path in ("/orders/pages?page=7&", "/orders/stream?cursor=8&"):
        body = read(lister, f"{path}o_clerk=nobody")
        assert body["orders"] == []
        around = ("has_next", "has_previous", "next_cursor", "previous_cursor")
        assert [body["pagination"][name] for name in around] == [False, False, None, None]


def test_changed_statuses_are_found_and_withdrawn_ones_are_not(lister: FlaskClient) -> None:
    for key, status in CHANGED.items():
        for other in "FOP":
            found = keys_of(read(lister, f"/orders/stream?o_orderstatus={other}"))
            assert (key in found) == (other == status)
    assert not {*WITHDRAWN} & {*keys_of(read(lister, "/orders/stream?o_orderstatus=F"))}


@pytest.mark.parametrize("sampled_whole", [0, 5000])
def test_the_first_change_is_seen_by_filters_of_a_worker_that_read_before(
    database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch, sampled_whole: int
) -> None:
    monkeypatch.setattr(sampling, "SAMPLED_WHOLE", sampled_whole)
    database.execute("DELETE FROM orders_synced WHERE o_orderkey > 5")
    settings = {**database.environment, "COUNT_TTL": "0"}
    writer = open_app(settings).test_client()
    # A worker for each kind of read: none may depend on another's having found the changes.
    workers = {path: open_app(settings).test_client() for path in LISTS}

    def look() -> list[list[int] | int]:
        bodies = [read(workers[path], f"{path}?o_orderstatus=P") for path in LISTS]
        return [keys_of(bodies[0]), keys_of(bodies[1]), *(next(iter(body.values())) for body in bodies[2:])]

    for _ in range(6):  # by then the statements are prepared
        assert look() == [[], [], 0, []]
    assert set_status(writer, 4, "P").status_code == 200
    assert look() == [[4], [4], 1, [4]]
    assert withdraw(writer, 4).status_code == 200
    assert look() == [[], [], 0, []]


@pytest.mark.parametrize("path", LISTS)
def test_an_unknown_filter_is_refused_with_the_name_that_is_like_it(lister: FlaskClient, path: str) -> None:
    body = assert_problem(lister.get(f"{path}?custkey=1"), 422, "invalid-request")
    assert body["errors"] == [
        {"in": "query", "name": "custkey", "detail": "Unknown field. Did you mean o_custkey?"}
    ]


@pytest.mark.parametrize("query", REFUSED, ids=lambda query: query[:40])
def test_a_value_that_is_none_is_refused_by_the_name_of_its_filter(lister: FlaskClient, query: str) -> None:
    for path in LISTS:
        body = assert_problem(lister.get(f"{path}?{query}"), 422, "invalid-request")
        assert {item["name"].partition(".")[0] for item in body["errors"]} == {query.partition("=")[0]}
        assert {item["in"] for item in body["errors"]} == {"query"}


def test_every_wrong_filter_is_named_at_once(lister: FlaskClient) -> None:
    body = assert_problem(
        lister.get("/orders/stream?o_custkey=x&o_orderdate_to=y&sort=z"), 422, "invalid-request"
    )
    names = {item["name"].partition(".")[0] for item in body["errors"]}
    assert names == {"o_custkey", "o_orderdate_to", "sort"}


def test_bytes_that_are_no_text_are_no_error(lister: FlaskClient) -> None:
    for text in ("%ff", "%ed%a0%80", "%f4%90%80%80", "%"):
        assert read(lister, f"/orders/count?o_clerk={text}")["total_orders"] == 0
