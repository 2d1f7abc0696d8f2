"""Changing the status of many orders in one request."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import (
    add_order,
    assert_problem,
    changes_of,
    etag_of,
    set_status,
    set_statuses,
    status_of,
)

NO_ORDER = 8
KEYS = "SELECT o_orderkey FROM orders_synced WHERE o_orderkey < 10000000 ORDER BY 1 LIMIT 1000"
CHANGED = """
SELECT count(*), min(_version), max(_version), count(DISTINCT _request_id) FROM lakebase_api.orders_history
"""


@pytest.fixture
def keys(shared_database: OrdersDatabase) -> list[int]:
    """Three orders: open, in progress, fulfilled."""
    return [add_order(shared_database, status) for status in ("O", "P", "F")]


def item(key: int, status: str = "F", **more: str) -> dict[str, Any]:
    return {"o_orderkey": key, "o_orderstatus": status, **more}


def test_a_batch_changes_every_order_in_it(writer: FlaskClient, keys: list[int]) -> None:
    answer = set_statuses(writer, [item(key) for key in reversed(keys)])
    assert answer.status_code == 200
    assert answer.json is not None
    results = answer.json["results"]
    assert [answer.json[name] for name in ("changed", "unchanged", "refused")] == [2, 1, 0]
    assert [each["o_orderkey"] for each in results] == keys[::-1]
    for key, result in zip(reversed(keys), results, strict=True):
        etag = etag_of(writer, key).strip('"')
        assert result == {"o_orderkey": key, "o_orderstatus": "F", "etag": etag, "status": 200}
        assert status_of(writer, key) == "F"
    assert [len(changes_of(writer, key)) for key in keys] == [1, 1, 0]


def test_a_batch_of_1000_is_one_request_with_a_change_each(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    keys = [int(str(key)) for (key,) in database.execute(KEYS)]
    database.execute(f"UPDATE orders_synced SET o_orderstatus = 'O' WHERE o_orderkey <= {keys[-1]}")
    answer = set_statuses(client, [item(key) for key in keys])
    assert answer.json is not None
    assert answer.json["changed"] == 1000
    assert database.execute(CHANGED) == [(1000, 1, 1, 1)]


@pytest.mark.parametrize("number", [0, 1001])
def test_a_batch_of_none_or_too_many_is_refused(writer: FlaskClient, order_key: int, number: int) -> None:
    items = [item(order_key + place) for place in range(number)]
    body = assert_problem(set_statuses(writer, items), 422, "invalid-request")
    assert "1 to 1000" in body["detail"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"o_orderkey": 1}, "1.o_orderstatus"),
        ({"o_orderstatus": "F"}, "1.o_orderkey"),
        ({"o_orderkey": 1, "o_orderstatus": "X"}, "1.o_orderstatus"),
        ({"o_orderkey": -(2**63) - 1, "o_orderstatus": "F"}, "1.o_orderkey"),
        ({"o_orderkey": 2**63, "o_orderstatus": "F"}, "1.o_orderkey"),
        ({"o_orderkey": "1", "o_orderstatus": "F"}, "1.o_orderkey"),
        ({"o_orderkey": True, "o_orderstatus": "F"}, "1.o_orderkey"),
        ({"o_orderkey": 1, "o_orderstatus": "F", "note": 1}, "1.note"),
        ({"o_orderkey": 1, "o_orderstatus": "F", "if_match": '"quoted"'}, "1.if_match"),
        ({"o_orderkey": 1, "o_orderstatus": "F", "if_match": None}, "1.if_match"),
        ("F", "1"),
    ],
)
def test_a_wrong_item_is_named_by_its_place_and_nothing_is_changed(
    writer: FlaskClient, order_key: int, wrong: Any, named: str
) -> None:
    body = assert_problem(set_statuses(writer, [item(order_key), wrong]), 422, "invalid-request")
    assert [(each["in"], each["name"]) for each in body["errors"]] == [("body", named)]
    assert changes_of(writer, order_key) == []


def test_an_order_that_comes_twice_is_refused_with_the_places(writer: FlaskClient, order_key: int) -> None:
    items = [item(order_key), item(order_key + 1_000_000), item(order_key, "P")]
    body = assert_problem(set_statuses(writer, items), 422, "invalid-request")
    assert [each["name"] for each in body["errors"]] == ["2.o_orderkey"]
    assert "item 0" in body["errors"][0]["detail"]
    assert changes_of(writer, order_key) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/orders/status", b"{}", 422),
        ("/orders/status", b"null", 422),
        ("/orders/status", b"[", 400),
        ("/orders/status?atomic=maybe", b"[]", 422),
        ("/orders/status?atomc=true", b"[]", 422),
        ("/orders/status", b"[" + b" " * 65536 + b"]", 413),
    ],
)
def test_what_is_no_batch_is_refused(reader: FlaskClient, path: str, body: bytes, status: int) -> None:
    assert reader.post(path, data=body, content_type="application/json").status_code == status


@pytest.mark.parametrize(
    ("refused", "status", "kind"),
    [
        (item(NO_ORDER), 404, "order-not-found"),
        ({"if_match": "other"}, 412, "precondition-failed"),
        ({"o_orderstatus": "O"}, 409, "illegal-transition"),
    ],
)
def test_when_one_is_refused_none_is_changed(
    shared_database: OrdersDatabase,
    open_app: AppOpener,
    keys: list[int],
    refused: Any,
    status: int,
    kind: str,
) -> None:
    strict = {**shared_database.environment, "STATUS_TRANSITIONS": "O>P,O>F,P>F"}
    client = open_app(strict).test_client()
    items = [item(keys[0]), {**item(keys[1]), **refused}, item(keys[2])]
    for query in ("", "?atomic=true"):
        body = assert_problem(set_statuses(client, items, query), status, kind)
        assert [(each["in"], each["name"]) for each in body["errors"]] == [("body", "1")]
    assert [status_of(client, key) for key in keys] == ["O", "P", "F"]
    assert [changes_of(client, key) for key in keys] == [[], [], []]


def test_without_atomicity_those_that_can_be_are_changed_and_each_outcome_is_told(
    shared_database: OrdersDatabase, open_app: AppOpener, keys: list[int]
) -> None:
    strict = {**shared_database.environment, "STATUS_TRANSITIONS": "O>P,O>F,P>F"}
    client = open_app(strict).test_client()
    opened, progressing, fulfilled = keys
    stale = add_order(shared_database)
    items = [
        item(opened),
        item(progressing, "O"),
        item(NO_ORDER),
        item(fulfilled),
        item(stale, if_match="other"),
    ]
    answer = set_statuses(client, items, "?atomic=false")
    assert answer.status_code == 200
    assert answer.json is not None
    counts = [answer.json[name] for name in ("changed", "unchanged", "refused")]
    assert counts == [1, 1, 3]
    results = answer.json["results"]
    assert [each["status"] for each in results] == [200, 409, 404, 200, 412]
    kinds = ["illegal-transition", "order-not-found", "precondition-failed"]
    assert [each["type"] for each in results if "type" in each] == [f"/problems/{kind}" for kind in kinds]
    assert "only to F" in results[1]["detail"]
    assert (results[2]["o_orderstatus"], results[2]["etag"]) == (None, None)
    assert results[4]["etag"] == etag_of(client, stale).strip('"')
    assert [status_of(client, key) for key in (*keys, stale)] == ["F", "P", "F", "O"]


def test_each_item_may_have_an_etag_of_its_own(writer: FlaskClient, keys: list[int]) -> None:
    items = [item(key, "O", if_match=etag_of(writer, key).strip('"')) for key in keys[1:]]
    set_status(writer, keys[2], "P")
    body = assert_problem(set_statuses(writer, items), 412, "precondition-failed")
    assert [each["name"] for each in body["errors"]] == ["1"]
    items[1]["if_match"] = etag_of(writer, keys[2]).strip('"')
    assert set_statuses(writer, items).status_code == 200


@pytest.mark.parametrize("query", ["", "?atomic=false"])
def test_a_batch_sent_again_with_its_key_gets_the_first_answer_and_changes_nothing(
    writer: FlaskClient, keys: list[int], query: str
) -> None:
    headers = {"Idempotency-Key": f'"batch-{keys[0]}"'}
    items = [item(key) for key in keys]
    if query:
        items.append(item(NO_ORDER))
    first = set_statuses(writer, items, query, headers)
    set_status(writer, keys[0], "O")
    again = set_statuses(writer, items, query, headers)
    assert (first.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json == first.json
    assert (status_of(writer, keys[0]), len(changes_of(writer, keys[0]))) == ("O", 2)


def test_of_many_refused_items_the_first_are_listed_and_the_others_counted(
    shared_database: OrdersDatabase, writer: FlaskClient
) -> None:
    key = add_order(shared_database, "O")
    items = [item(key), *(item(10**12 + place) for place in range(30))]
    body = assert_problem(set_statuses(writer, items), 404, "order-not-found")
    assert [error["name"] for error in body["errors"]] == [str(place) for place in range(1, 21)]
    assert body["errors_omitted"] == 10
    assert status_of(writer, key) == "O"
