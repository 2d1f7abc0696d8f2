"""ETags, and changes and reads that depend on them."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import (
    add_order,
    assert_problem,
    changes_of,
    etag_of,
    patch_status,
    set_status,
    set_statuses,
    status_of,
    withdraw,
)

Ask = Callable[[FlaskClient, int, dict[str, str]], TestResponse]
FORMS = pytest.mark.parametrize(
    "ask",
    [
        lambda client, key, headers: set_status(client, key, "P", headers),
        lambda client, key, headers: patch_status(client, key, "P", headers),
        lambda client, key, headers: withdraw(client, key, headers),
    ],
    ids=["POST", "PATCH", "DELETE"],
)
STALE = '"0123456789abcdef0123456789abcdef"'


def replaced(form: str, etag: str) -> dict[str, str]:
    return {"If-Match": form.replace("ETAG", etag)}


def test_an_order_has_a_strong_etag_that_is_the_same_wherever_it_is_asked_for(
    shared_database: OrdersDatabase, writer: FlaskClient, open_app: AppOpener, order_key: int
) -> None:
    etag = set_status(writer, order_key, "F").headers["ETag"]
    other = open_app(shared_database.environment).test_client()
    assert etag.startswith('"')
    assert etag == etag_of(writer, order_key) == etag_of(other, order_key)
    assert etag == writer.get(f"/api/v1/orders/{order_key}").headers["ETag"]
    assert etag == writer.head(f"/orders/{order_key}").headers["ETag"]


@pytest.mark.parametrize("form", ["ETAG", "W/ETAG", f"{STALE}, ETAG", "*"])
def test_an_order_is_not_sent_to_who_has_it(writer: FlaskClient, order_key: int, form: str) -> None:
    etag = set_status(writer, order_key, "F").headers["ETag"]
    headers = {"If-None-Match": form.replace("ETAG", etag)}
    answer = writer.get(f"/orders/{order_key}", headers=headers)
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)


def test_a_changed_order_is_sent_to_who_has_it_as_it_was(writer: FlaskClient, order_key: int) -> None:
    headers = {"If-None-Match": etag_of(writer, order_key)}
    for status in ("F", "O"):
        set_status(writer, order_key, status)
        answer = writer.get(f"/orders/{order_key}", headers=headers)
        assert answer.status_code == 200
        assert f'"o_orderstatus":"{status}"' in answer.text


@FORMS
@pytest.mark.parametrize("form", ["ETAG", f"{STALE}, ETAG", f"W/{STALE},ETAG", "*"])
def test_a_change_is_made_if_the_order_is_as_it_was_seen(
    writer: FlaskClient, order_key: int, ask: Ask, form: str
) -> None:
    etag = set_status(writer, order_key, "F").headers["ETag"]
    answer = ask(writer, order_key, replaced(form, etag))
    assert answer.status_code == 200
    assert answer.headers["ETag"] == etag_of(writer, order_key) != etag
    assert len(changes_of(writer, order_key)) == 2


@FORMS
@pytest.mark.parametrize("form", [STALE, "W/ETAG", f'{STALE}, W/ETAG, "x"', '"*"', '""', "", "x"])
def test_a_change_is_refused_with_the_current_etag_if_the_order_is_not_as_it_was_seen(
    writer: FlaskClient, order_key: int, ask: Ask, form: str
) -> None:
    etag = set_status(writer, order_key, "F").headers["ETag"]
    answer = ask(writer, order_key, replaced(form, etag))
    assert_problem(answer, 412, "precondition-failed")
    assert answer.headers["ETag"] == etag
    assert (status_of(writer, order_key), len(changes_of(writer, order_key))) == ("F", 1)


def test_an_etag_serves_for_one_change(writer: FlaskClient, order_key: int) -> None:
    seen = {"If-Match": etag_of(writer, order_key)}
    first = set_status(writer, order_key, "F", seen)
    second = set_status(writer, order_key, "P", seen)
    assert_problem(second, 412, "precondition-failed")
    assert set_status(writer, order_key, "P", {"If-Match": second.headers["ETag"]}).status_code == 200
    assert first.headers["ETag"] == second.headers["ETag"]


def test_a_row_that_a_sync_changed_is_not_as_it_was_seen(
    shared_database: OrdersDatabase, writer: FlaskClient, order_key: int
) -> None:
    etag = set_status(writer, order_key, "F").headers["ETag"]
    shared_database.execute(f"UPDATE orders_synced SET o_comment = 'new' WHERE o_orderkey = {order_key}")
    answer = set_status(writer, order_key, "P", {"If-Match": etag})
    assert_problem(answer, 412, "precondition-failed")
    assert answer.headers["ETag"] == etag_of(writer, order_key)


@FORMS
def test_where_it_is_required_a_change_without_an_etag_is_refused_with_the_current_one(
    shared_database: OrdersDatabase, open_app: AppOpener, ask: Ask
) -> None:
    client = open_app({**shared_database.environment, "REQUIRE_IF_MATCH": "true"}).test_client()
    key = add_order(shared_database, "F")
    answer = ask(client, key, {})
    assert_problem(answer, 428, "precondition-required")
    assert ask(client, key, {"If-Match": answer.headers["ETag"]}).status_code == 200
    assert ask(client, key, {"If-Match": "*"}).status_code == 200


def test_where_it_is_required_each_item_of_a_batch_needs_an_etag(
    shared_database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app({**shared_database.environment, "REQUIRE_IF_MATCH": "true"}).test_client()
    keys = [add_order(shared_database) for _ in range(2)]
    items = [{"o_orderkey": key, "o_orderstatus": "F"} for key in keys]
    items[0]["if_match"] = etag_of(client, keys[0]).strip('"')
    body = assert_problem(set_statuses(client, items), 428, "precondition-required")
    assert [each["name"] for each in body["errors"]] == ["1"]
    items[1]["if_match"] = etag_of(client, keys[1]).strip('"')
    assert set_statuses(client, items).status_code == 200


@FORMS
def test_a_weak_etag_is_refused_with_the_way_to_send_it_and_without_a_word_that_the_order_changed(
    writer: FlaskClient, order_key: int, ask: Ask
) -> None:
    etag = etag_of(writer, order_key)
    refused = ask(writer, order_key, replaced("W/ETAG", etag))
    body = assert_problem(refused, 412, "precondition-failed")
    assert "without the W/" in body["detail"]
    assert refused.headers["ETag"] == etag
    assert ask(writer, order_key, replaced("ETAG", etag)).status_code == 200


def test_a_strong_etag_is_refused_without_a_word_of_weak_ones(writer: FlaskClient, order_key: int) -> None:
    body = assert_problem(set_status(writer, order_key, "P", {"If-Match": STALE}), 412, "precondition-failed")
    assert "W/" not in body["detail"]
