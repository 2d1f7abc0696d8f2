"""Several orders by their keys."""

import pytest
from flask.testing import FlaskClient

from tests.conftest import OrdersDatabase
from tests.orders.changing import add_order, assert_problem, read, set_status, withdraw
from tests.orders.varied import GREATEST_KEY, keys_of


def test_the_orders_come_as_they_are_asked_for(lister: FlaskClient) -> None:
    body = read(lister, f"/orders?keys=30,3,{GREATEST_KEY},6")
    assert keys_of(body) == [30, 3, GREATEST_KEY, 6]
    assert body["missing"] == []


def test_keys_without_an_order_are_listed_as_they_are_asked_for(lister: FlaskClient) -> None:
    body = read(lister, "/orders?keys=9223372036854775807,6,5,3,1")
    assert keys_of(body) == [6, 3]
    assert body["missing"] == [9223372036854775807, 5, 1]


def test_a_key_given_twice_counts_once_where_it_is_first(lister: FlaskClient) -> None:
    body = read(lister, "/orders?keys=6,1,3,6,1,03")
    assert keys_of(body) == [6, 3]
    assert body["missing"] == [1]


def test_orders_are_shown_as_they_are_one_by_one(lister: FlaskClient) -> None:
    keys = [3, 6, 9, 12, 15, 18, GREATEST_KEY]
    body = read(lister, f"/orders?keys={','.join(map(str, keys))}")
    assert body["orders"] == [read(lister, f"/orders/{key}") for key in keys]


def test_200_keys_are_taken_and_one_more_is_refused(lister: FlaskClient) -> None:
    keys = ",".join(map(str, range(1, 201)))
    body = read(lister, f"/orders?keys={keys}")
    assert len(body["orders"]) + len(body["missing"]) == 200
    refused = assert_problem(lister.get(f"/orders?keys={keys},1"), 422, "invalid-request")
    assert refused["errors"] == [{"in": "query", "name": "keys", "detail": "Must be at most 200 keys."}]


def test_200_of_the_longest_keys_are_taken(lister: FlaskClient) -> None:
    keys = [2**63 - 1 - number for number in range(200)]
    assert read(lister, f"/orders?keys={','.join(map(str, keys))}")["missing"] == keys


@pytest.mark.parametrize(
    "keys",
    [
        "",
        ",",
        "1,",
        ",1",
        "1,,2",
        "-9223372036854775809",
        "1,-",
        "x",
        "1;2",
        "1,%202",
        "1.0",
        "1_0",
        "%2B1",
        "%D9%A3",
        "1%00",
        "1%0A",
        "9223372036854775808",
        "9" * 5000,
    ],
    ids=lambda keys: keys[:20],
)
def test_keys_that_are_none_are_refused_by_name(lister: FlaskClient, keys: str) -> None:
    body = assert_problem(lister.get(f"/orders?keys={keys}"), 422, "invalid-request")
    assert [(item["in"], item["name"]) for item in body["errors"]] == [("query", "keys")]


def test_keys_must_be_asked_for(lister: FlaskClient) -> None:
    for query in ("", "?fields=o_clerk"):
        body = assert_problem(lister.get(f"/orders{query}"), 422, "invalid-request")
        assert [(item["in"], item["name"]) for item in body["errors"]] == [("query", "keys")]


def test_what_several_orders_do_not_take_is_refused_by_name(lister: FlaskClient) -> None:
    for name in ("o_custkey", "sort", "page_size", "cursor"):
        body = assert_problem(lister.get(f"/orders?keys=1&{name}=1"), 422, "invalid-request")
        assert [item["name"] for item in body["errors"]] == [name]


def test_statuses_are_shown_as_changed(shared_database: OrdersDatabase, writer: FlaskClient) -> None:
    keys = [add_order(shared_database) for _ in range(3)]
    set_status(writer, keys[0], "P")
    set_status(writer, keys[1], "P")
    withdraw(writer, keys[1])
    body = read(writer, f"/orders?keys={','.join(map(str, keys))}&fields=o_orderstatus")
    assert body["orders"] == [{"o_orderstatus": status} for status in "POO"]


def test_the_first_change_is_shown_by_a_worker_that_read_before(
    client: FlaskClient,
) -> None:
    path = "/orders?keys=1,2&fields=o_orderstatus"
    for _ in range(6):  # by then the statement is prepared
        assert read(client, path)["orders"] == [{"o_orderstatus": "O"}] * 2
    assert set_status(client, 2, "P").status_code == 200
    assert read(client, path)["orders"] == [{"o_orderstatus": "O"}, {"o_orderstatus": "P"}]


def test_no_order_at_all_is_an_answer(lister: FlaskClient) -> None:
    assert read(lister, "/orders?keys=1,2") == {"orders": [], "missing": [1, 2]}
