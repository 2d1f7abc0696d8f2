"""Of several reasons to refuse a change, which is told."""

from collections.abc import Mapping

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem, assert_replayed, changes_of, set_status

NO_ORDER = 8
STALE = {"If-Match": '"other"'}


@pytest.fixture
def strict(shared_database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app that requires ETags and restricts the transitions."""
    settings = {"REQUIRE_IF_MATCH": "true", "STATUS_TRANSITIONS": "O>F"}
    return open_app({**shared_database.environment, **settings}).test_client()


def send(
    client: FlaskClient, key: int, body: bytes, headers: Mapping[str, str], media: str = "application/json"
) -> TestResponse:
    return client.post(f"/orders/{key}/status", data=body, headers=headers, content_type=media)


def test_the_media_type_is_looked_at_before_the_body_and_the_body_before_the_order(
    strict: FlaskClient,
) -> None:
    wrong = {**STALE, "Idempotency-Key": "unquoted"}
    assert_problem(send(strict, NO_ORDER, b"{", wrong, "text/plain"), 415, "unsupported-media-type")
    assert_problem(send(strict, NO_ORDER, b"{", wrong), 400, "malformed-request")
    assert_problem(send(strict, NO_ORDER, b"{}", wrong), 422, "invalid-request")
    assert_problem(send(strict, NO_ORDER, b'{"o_orderstatus": "F"}', wrong), 422, "invalid-request")


def test_an_order_that_is_not_there_comes_before_its_conditions(strict: FlaskClient) -> None:
    for headers in ({}, STALE, {"If-Match": "*"}):
        assert_problem(set_status(strict, NO_ORDER, "P", headers), 404, "order-not-found")


def test_an_order_that_is_gone_comes_before_the_replay_of_its_change(
    shared_database: OrdersDatabase, writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    assert set_status(writer, order_key, "F", idempotency_key).status_code == 200
    shared_database.execute(f"DELETE FROM orders_synced WHERE o_orderkey = {order_key}")
    assert_problem(set_status(writer, order_key, "F", idempotency_key), 404, "order-not-found")


@pytest.mark.parametrize("conditions", [{}, STALE], ids=["none", "stale"])
def test_a_replay_comes_before_the_conditions(
    strict: FlaskClient, order_key: int, idempotency_key: dict[str, str], conditions: dict[str, str]
) -> None:
    first = set_status(strict, order_key, "F", {**idempotency_key, "If-Match": "*"})
    assert_replayed(set_status(strict, order_key, "F", {**idempotency_key, **conditions}), first)


def test_a_key_that_was_used_for_another_change_comes_before_the_conditions(
    strict: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    assert set_status(strict, order_key, "F", {**idempotency_key, "If-Match": "*"}).status_code == 200
    answer = set_status(strict, order_key, "P", {**idempotency_key, **STALE})
    assert_problem(answer, 422, "idempotency-key-reused")


@pytest.mark.parametrize("status", ["O", "P"], ids=["same", "illegal"])
def test_conditions_come_before_what_the_status_is(strict: FlaskClient, order_key: int, status: str) -> None:
    assert_problem(set_status(strict, order_key, status), 428, "precondition-required")
    assert_problem(set_status(strict, order_key, status, STALE), 412, "precondition-failed")


def test_the_same_status_comes_before_the_transitions(strict: FlaskClient, order_key: int) -> None:
    # Not among the transitions is O>O.
    assert set_status(strict, order_key, "O", {"If-Match": "*"}).status_code == 200
    assert_problem(set_status(strict, order_key, "P", {"If-Match": "*"}), 409, "illegal-transition")
    assert changes_of(strict, order_key) == []
