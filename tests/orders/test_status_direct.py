"""Changes in a table that the app may update: the same conditions and history."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask.testing import FlaskClient

from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import (
    assert_problem,
    assert_replayed,
    changes_of,
    etag_of,
    patch_status,
    read,
    set_status,
    set_statuses,
    status_of,
    wait_for_waiting,
    withdraw,
)

STORED = "SELECT o_orderstatus FROM orders_synced WHERE o_orderkey = 1"


@pytest.fixture
def owned(database: OrdersDatabase) -> OrdersDatabase:
    """A database whose orders the app may change."""
    database.execute(f"GRANT UPDATE (o_orderstatus) ON orders_synced TO {ROLE}")
    return database


@pytest.fixture
def direct(owned: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app that changes the orders table itself."""
    return open_app({**owned.environment, "STATUS_WRITES": "direct"}).test_client()


def test_a_change_is_made_in_the_table_shown_and_recorded(owned: OrdersDatabase, direct: FlaskClient) -> None:
    assert set_status(direct, 1, "F").status_code == 200
    assert patch_status(direct, 1, "P").headers["ETag"] == etag_of(direct, 1)
    items = [{"o_orderkey": key, "o_orderstatus": "F"} for key in (2, 1)]
    assert set_statuses(direct, items).status_code == 200
    assert owned.execute(STORED) == [("F",)]
    orders = read(direct, "/orders/stream?page_size=2")["orders"]
    assert [order["o_orderstatus"] for order in orders] == ["F", "F"]
    assert changes_of(direct, 1) == [(3, "P", "F"), (2, "F", "P"), (1, "O", "F")]
    assert changes_of(direct, 2) == [(1, "O", "F")]


def test_the_history_tells_of_no_second_status(direct: FlaskClient) -> None:
    assert set_status(direct, 1, "F").status_code == 200
    history = read(direct, "/orders/1/history")
    assert (history["o_orderstatus"], history["status_conflict"]) == ("F", False)
    assert history["changes"][0]["synced_status"] is None


def test_the_conditions_are_those_of_the_overlay(owned: OrdersDatabase, open_app: AppOpener) -> None:
    settings = {"STATUS_WRITES": "direct", "REQUIRE_IF_MATCH": "true", "STATUS_TRANSITIONS": "O>F"}
    direct = open_app({**owned.environment, **settings}).test_client()
    assert_problem(set_status(direct, 8, "F"), 404, "order-not-found")
    assert_problem(set_status(direct, 1, "F"), 428, "precondition-required")
    assert_problem(set_status(direct, 1, "F", {"If-Match": '"other"'}), 412, "precondition-failed")
    seen = {"If-Match": etag_of(direct, 1)}
    assert_problem(set_status(direct, 1, "P", seen), 409, "illegal-transition")
    assert set_status(direct, 1, "F", seen).status_code == 200
    assert_problem(set_status(direct, 1, "F", seen), 412, "precondition-failed")
    assert set_status(direct, 1, "F", {"If-Match": "*"}).status_code == 200
    assert changes_of(direct, 1) == [(1, "O", "F")]


def test_a_change_sent_again_with_its_key_is_made_once(direct: FlaskClient) -> None:
    key = {"Idempotency-Key": '"direct"'}
    first = set_status(direct, 1, "F", key)
    set_status(direct, 1, "O")
    assert_replayed(set_status(direct, 1, "F", key), first)
    assert (status_of(direct, 1), len(changes_of(direct, 1))) == ("O", 2)


def test_what_another_writer_just_made_of_the_order_is_what_decides(
    owned: OrdersDatabase, direct: FlaskClient
) -> None:
    assert set_status(direct, 2, "F").status_code == 200
    headers = {"If-Match": etag_of(direct, 1)}
    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(owned.server.conninfo(owned.name)) as another,
    ):
        another.execute("UPDATE orders_synced SET o_orderstatus = 'P' WHERE o_orderkey = 1")
        answer = threads.submit(set_status, direct, 1, "F", headers)
        wait_for_waiting(owned)
        another.commit()
        assert_problem(answer.result(), 412, "precondition-failed")
    assert (status_of(direct, 1), changes_of(direct, 1)) == ("P", [])


def test_a_repeat_is_told_that_the_first_request_still_waits_for_another_writer(
    owned: OrdersDatabase, direct: FlaskClient
) -> None:
    assert set_status(direct, 2, "F").status_code == 200
    key = {"Idempotency-Key": '"once"'}
    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(owned.server.conninfo(owned.name)) as another,
    ):
        another.execute("SELECT FROM orders_synced WHERE o_orderkey = 1 FOR UPDATE")
        first = threads.submit(set_status, direct, 1, "F", key)
        wait_for_waiting(owned)
        assert_problem(set_status(direct, 1, "F", key), 409, "still-running")
        another.rollback()
        assert_replayed(set_status(direct, 1, "F", key), first.result())


def test_a_change_that_another_writer_made_shows_in_the_next_one_s_old_status(
    owned: OrdersDatabase, direct: FlaskClient
) -> None:
    assert set_status(direct, 1, "F").status_code == 200
    owned.execute("UPDATE orders_synced SET o_orderstatus = 'P' WHERE o_orderkey = 1")
    assert set_status(direct, 1, "O").status_code == 200
    assert changes_of(direct, 1) == [(2, "P", "O"), (1, "O", "F")]


def test_a_change_cannot_be_withdrawn(direct: FlaskClient) -> None:
    assert set_status(direct, 1, "F").status_code == 200
    assert_problem(withdraw(direct, 1), 409, "not-withdrawable")
    assert status_of(direct, 1) == "F"


def test_without_the_right_to_update_changes_are_refused_and_reads_go_on(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    direct = open_app({**database.environment, "STATUS_WRITES": "direct"}).test_client()
    answer = set_status(direct, 1, "F")
    assert answer.status_code == 503
    assert (status_of(direct, 1), changes_of(direct, 1)) == ("O", [])


def test_the_history_goes_on_when_the_way_of_changing_is_changed(
    owned: OrdersDatabase, direct: FlaskClient, client: FlaskClient
) -> None:
    assert set_status(direct, 1, "F").status_code == 200
    for status in ("P", "O"):
        answer = set_status(client, 1, status)
        assert answer.status_code == 200
        assert answer.headers["ETag"] == etag_of(client, 1)
    assert changes_of(client, 1) == [(3, "P", "O"), (2, "F", "P"), (1, "O", "F")]
    assert set_status(direct, 1, "P").status_code == 200
    assert set_status(client, 1, "F", {"If-Match": etag_of(client, 1)}).status_code == 200
    assert [version for version, _, _ in changes_of(client, 1)] == [5, 4, 3, 2, 1]
