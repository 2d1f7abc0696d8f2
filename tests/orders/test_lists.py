import pytest
from flask.testing import FlaskClient

from tests.conftest import ORDERS, OrdersDatabase


def keys(page: dict[str, list[dict[str, int]]]) -> list[int]:
    return [order["o_orderkey"] for order in page["orders"]]


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=1.0",
        "page=1_0",
        "page=%201",
        "page=",
        "page=9007199254740992",
        "page_size=0",
        "page_size=1001",
        "include_count=maybe",
        "cursor=5",
    ],
)
def test_wrong_page_parameters_are_refused(reader: FlaskClient, query: str) -> None:
    assert reader.get(f"/orders/pages?{query}").status_code == 422


@pytest.mark.parametrize(
    "query", ["cursor=-9223372036854775809", "cursor=9223372036854775808", "page_size=0", "page=1"]
)
def test_wrong_stream_parameters_are_refused(reader: FlaskClient, query: str) -> None:
    assert reader.get(f"/orders/stream?{query}").status_code == 422


@pytest.mark.parametrize(
    "query",
    ["page=1&page=2", "sort=o_clerk&sort=o_custkey", "o_orderdate_from=1996-01-01&o_orderdate_from=x"],
)
def test_a_parameter_that_says_two_things_is_refused(reader: FlaskClient, query: str) -> None:
    answer = reader.get(f"/orders/pages?{query}")
    assert answer.status_code == 422
    assert answer.json is not None
    [error] = answer.json["errors"]
    assert error == {"in": "query", "name": query.partition("=")[0], "detail": "Must be there once."}


def test_the_limits_of_the_parameters_are_taken(reader: FlaskClient) -> None:
    last = reader.get("/orders/pages?page=9007199254740991&page_size=1000").json
    assert last is not None
    assert last["orders"] == []
    assert last["pagination"] == {
        "page": 2**53 - 1,
        "page_size": 1000,
        "total_pages": 15,
        "total_count": ORDERS,
        "has_next": False,
        "has_previous": True,
        "next_cursor": None,
        "previous_cursor": 56000,
    }
    end = reader.get("/orders/stream?cursor=9223372036854775807&page_size=1000").json
    assert end is not None
    assert end["orders"] == []
    assert end["pagination"]["has_previous"] is True


def test_pages_show_every_order_once_and_say_where_they_are(reader: FlaskClient) -> None:
    seen: list[int] = []
    for page in range(1, 17):
        body = reader.get(f"/orders/pages?page={page}&page_size=1000").json
        assert body is not None
        seen += keys(body)
        pagination = body["pagination"]
        assert pagination["total_count"] == ORDERS
        assert pagination["total_pages"] == 15
        assert pagination["has_next"] == (page < 15)
        assert pagination["has_previous"] == (page > 1)
    assert len(seen) == len(set(seen)) == ORDERS
    assert seen == sorted(seen)


def test_pages_without_a_count_say_so(reader: FlaskClient) -> None:
    for spelling in ("false", "False"):
        body = reader.get(f"/orders/pages?include_count={spelling}&page_size=1").json
        assert body is not None
        assert body["pagination"]["total_count"] is None
        assert body["pagination"]["total_pages"] is None
        assert body["pagination"]["has_next"] is True


def test_the_cursors_of_a_page_lead_to_its_neighbours(reader: FlaskClient) -> None:
    pages = [reader.get(f"/orders/pages?page={page}&page_size=7").json for page in (1, 2, 3)]
    second = pages[1]
    assert second is not None
    for name, neighbour in (("previous_cursor", pages[0]), ("next_cursor", pages[2])):
        cursor = second["pagination"][name]
        stream = reader.get(f"/orders/stream?cursor={cursor}&page_size=7").json
        assert stream is not None
        assert neighbour is not None
        assert stream["orders"] == neighbour["orders"]


@pytest.mark.parametrize("page_size", [1, 37, 1000])
def test_walking_forward_and_back_shows_the_same_pages_whatever_gaps_the_keys_have(
    database: OrdersDatabase, client: FlaskClient, page_size: int
) -> None:
    database.execute("DELETE FROM orders_synced WHERE o_orderkey > 300 AND o_orderkey % 97 <> 0")
    forward: list[list[int]] = []
    cursor: int | None = 0
    while cursor is not None:
        body = client.get(f"/orders/stream?cursor={cursor}&page_size={page_size}").json
        assert body is not None
        assert body["pagination"]["has_previous"] == bool(forward)
        forward.append(keys(body))
        cursor = body["pagination"]["next_cursor"]
        assert body["pagination"]["has_next"] == (cursor is not None)
    assert body is not None
    back = [forward[-1]]
    previous = body["pagination"]["previous_cursor"]
    while previous is not None:
        body = client.get(f"/orders/stream?cursor={previous}&page_size={page_size}").json
        assert body is not None
        back.insert(0, keys(body))
        previous = body["pagination"]["previous_cursor"]
    assert back == forward
    expected = [key for (key,) in database.execute("SELECT o_orderkey FROM orders_synced ORDER BY 1")]
    assert [key for page in forward for key in page] == expected


def test_rows_that_come_and_go_cause_no_repeat_and_no_skip(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    first = client.get("/orders/stream?page_size=10").json
    assert first is not None
    database.execute("DELETE FROM orders_synced WHERE o_orderkey <= 5")
    database.execute("INSERT INTO orders_synced (o_orderkey) VALUES (8), (9)")
    cursor = first["pagination"]["next_cursor"]
    second = client.get(f"/orders/stream?cursor={cursor}&page_size=10").json
    assert second is not None
    assert not set(keys(first)) & set(keys(second))
    expected = database.execute(
        f"SELECT o_orderkey FROM orders_synced WHERE o_orderkey > {cursor} ORDER BY 1 LIMIT 10"
    )
    assert keys(second) == [key for (key,) in expected]
