"""A change that is sent again with its Idempotency-Key is made once."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import (
    add_order,
    assert_problem,
    assert_replayed,
    changes_of,
    patch_status,
    read,
    set_status,
    set_statuses,
    status_of,
    withdraw,
)

Ask = Callable[[FlaskClient, int, dict[str, str]], TestResponse]
FORMS = pytest.mark.parametrize(
    "ask",
    [
        lambda client, key, headers: set_status(client, key, "F", headers),
        lambda client, key, headers: patch_status(client, key, "F", headers),
        lambda client, key, headers: withdraw(client, key, headers),
        lambda client, key, headers: set_statuses(
            client, [{"o_orderkey": key, "o_orderstatus": "F"}], headers=headers
        ),
    ],
    ids=["POST", "PATCH", "DELETE", "batch"],
)


@FORMS
def test_the_same_request_again_gets_the_first_answer_and_changes_nothing(
    writer: FlaskClient, order_key: int, idempotency_key: dict[str, str], ask: Ask
) -> None:
    set_status(writer, order_key, "P")
    first = ask(writer, order_key, idempotency_key)
    set_status(writer, order_key, "P")  # which a second change would undo
    assert_replayed(ask(writer, order_key, idempotency_key), first)
    assert (status_of(writer, order_key), len(changes_of(writer, order_key))) == ("P", 3)


def test_a_change_that_was_not_needed_is_replayed_too(
    writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    first = set_status(writer, order_key, "O", idempotency_key)
    set_status(writer, order_key, "F")
    assert_replayed(set_status(writer, order_key, "O", idempotency_key), first)
    assert status_of(writer, order_key) == "F"


def test_a_refused_change_may_be_sent_again_with_its_key_once_it_is_possible(
    writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    refused = set_status(writer, order_key, "F", {**idempotency_key, "If-Match": '"other"'})
    assert_problem(refused, 412, "precondition-failed")
    answer = set_status(writer, order_key, "F", {**idempotency_key, "If-Match": refused.headers["ETag"]})
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_the_request_is_the_same_under_either_base_path_and_however_its_body_is_written(
    writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    first = set_status(writer, order_key, "F", idempotency_key)
    again = writer.post(
        f"/api/v1/orders/{order_key}/status",
        data=b'\n{ "o_orderstatus" : "\\u0046" }',
        content_type="application/json; charset=utf-8",
        headers=idempotency_key,
    )
    assert_replayed(again, first)


def test_the_same_key_with_another_body_path_or_query_is_refused(
    shared_database: OrdersDatabase, writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    assert set_status(writer, order_key, "F", idempotency_key).status_code == 200
    another = add_order(shared_database)
    item = {"o_orderkey": order_key, "o_orderstatus": "F"}
    for answer in (
        set_status(writer, order_key, "P", idempotency_key),
        set_status(writer, another, "F", idempotency_key),
        patch_status(writer, order_key, "F", idempotency_key),
        withdraw(writer, order_key, idempotency_key),
        set_statuses(writer, [item], headers=idempotency_key),
    ):
        assert_problem(answer, 422, "idempotency-key-reused")
    assert changes_of(writer, order_key) == [(1, "O", "F")]
    assert changes_of(writer, another) == []


def test_a_batch_with_its_key_but_another_query_is_refused(
    writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    items = [{"o_orderkey": order_key, "o_orderstatus": "F"}]
    assert set_statuses(writer, items, headers=idempotency_key).status_code == 200
    answer = set_statuses(writer, items, "?atomic=false", headers=idempotency_key)
    assert_problem(answer, 422, "idempotency-key-reused")


@pytest.mark.parametrize(
    "key",
    ["", '""', "unquoted", "'single'", '"open', '"a"b"', '"a", "b"', '"é"', '"\\n"', '"' + "k" * 256 + '"'],
)
def test_a_key_that_is_no_quoted_string_of_1_to_255_characters_is_refused(
    writer: FlaskClient, order_key: int, key: str
) -> None:
    body = assert_problem(
        set_status(writer, order_key, "F", {"Idempotency-Key": key}), 422, "invalid-request"
    )
    assert [(each["in"], each["name"]) for each in body["errors"]] == [("header", "Idempotency-Key")]
    assert changes_of(writer, order_key) == []


def test_a_key_may_have_255_characters_of_any_kind(writer: FlaskClient, order_key: int) -> None:
    key = f"{order_key}" + r"\"\\ ~" * 50
    named = {"Idempotency-Key": f'"{key}{"k" * (255 - len(str(order_key)) - 200)}"'}
    first = set_status(writer, order_key, "F", named)
    assert_replayed(set_status(writer, order_key, "F", named), first)


def test_the_same_key_of_another_caller_is_another_key(
    shared_database: OrdersDatabase, open_app: AppOpener, order_key: int, idempotency_key: dict[str, str]
) -> None:
    trusting = {**shared_database.environment, "TRUST_FORWARDED_IDENTITY": "true"}
    client = open_app(trusting).test_client()
    for caller, status in (("ada", "F"), ("bob", "P")):
        answer = set_status(client, order_key, status, {**idempotency_key, "X-Forwarded-User": caller})
        assert answer.status_code == 200
        assert "Idempotent-Replayed" not in answer.headers
    changes = read(client, f"/orders/{order_key}/history", {"X-Forwarded-User": "ada"})["changes"]
    assert [each["changed_by"] for each in changes] == ["bob", "ada"]
