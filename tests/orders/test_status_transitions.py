"""Which status may become which."""

import itertools

import pytest
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import (
    add_order,
    assert_problem,
    changes_of,
    patch_status,
    set_status,
    status_of,
    withdraw,
)

STATUSES = ("F", "O", "P")
ALLOWED = "O>P,O>F,P>F"


@pytest.fixture
def strict(shared_database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app that restricts the transitions."""
    return open_app({**shared_database.environment, "STATUS_TRANSITIONS": ALLOWED}).test_client()


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(STATUSES, 2)))
def test_any_status_may_become_any_other_by_default(
    shared_database: OrdersDatabase, writer: FlaskClient, old: str, new: str
) -> None:
    key = add_order(shared_database, old)
    assert set_status(writer, key, new).status_code == 200
    assert changes_of(writer, key) == [(1, old, new)]


@pytest.mark.parametrize("status", STATUSES)
def test_the_same_status_again_is_answered_200_and_not_recorded(
    shared_database: OrdersDatabase, writer: FlaskClient, strict: FlaskClient, status: str
) -> None:
    key = add_order(shared_database, status)
    for client in (writer, strict):
        answer = set_status(client, key, status)
        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["o_orderstatus"] == status
        assert changes_of(client, key) == []
    other = "P" if status != "P" else "F"
    etag = set_status(writer, key, other).headers["ETag"]
    assert set_status(writer, key, other).headers["ETag"] == etag
    assert len(changes_of(writer, key)) == 1


@pytest.mark.parametrize(("old", "new"), [("O", "P"), ("O", "F"), ("P", "F")])
def test_where_they_are_restricted_those_that_are_named_are_made(
    shared_database: OrdersDatabase, strict: FlaskClient, old: str, new: str
) -> None:
    key = add_order(shared_database, old)
    assert set_status(strict, key, new).status_code == 200
    assert status_of(strict, key) == new


@pytest.mark.parametrize(
    ("old", "new", "named"), [("P", "O", "only to F"), ("F", "O", "no more"), ("F", "P", "no more")]
)
def test_where_they_are_restricted_the_others_are_refused_naming_what_is_allowed(
    shared_database: OrdersDatabase, strict: FlaskClient, old: str, new: str, named: str
) -> None:
    key = add_order(shared_database, old)
    for ask in (set_status, patch_status):
        body = assert_problem(ask(strict, key, new), 409, "illegal-transition")
        assert f"is {old} and may change {named}" in body["detail"]
    assert (status_of(strict, key), changes_of(strict, key)) == (old, [])


def test_all_that_is_allowed_is_named(shared_database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**shared_database.environment, "STATUS_TRANSITIONS": "O>P,F>O,F>P"}).test_client()
    key = add_order(shared_database, "P")
    assert "no more" in assert_problem(set_status(client, key, "O"), 409, "illegal-transition")["detail"]
    key = add_order(shared_database, "O")
    body = assert_problem(set_status(client, key, "F"), 409, "illegal-transition")
    assert "only to P" in body["detail"]


def test_what_is_allowed_depends_on_the_status_that_is_shown(
    shared_database: OrdersDatabase, strict: FlaskClient
) -> None:
    key = add_order(shared_database, "O")
    assert set_status(strict, key, "P").status_code == 200
    assert_problem(set_status(strict, key, "O"), 409, "illegal-transition")
    assert set_status(strict, key, "F").status_code == 200
    assert changes_of(strict, key) == [(2, "P", "F"), (1, "O", "P")]


def test_a_change_may_be_withdrawn_whatever_is_allowed(
    shared_database: OrdersDatabase, strict: FlaskClient
) -> None:
    key = add_order(shared_database, "O")
    assert set_status(strict, key, "F").status_code == 200
    assert withdraw(strict, key).status_code == 200
    assert status_of(strict, key) == "O"


def test_an_order_without_a_status_may_be_given_any(
    shared_database: OrdersDatabase, strict: FlaskClient, order_key: int
) -> None:
    shared_database.execute(f"UPDATE orders_synced SET o_orderstatus = NULL WHERE o_orderkey = {order_key}")
    assert set_status(strict, order_key, "F").status_code == 200
    assert changes_of(strict, order_key) == [(1, None, "F")]
    assert withdraw(strict, order_key).status_code == 200
    assert (status_of(strict, order_key), changes_of(strict, order_key)[0]) == (None, (2, "F", None))
