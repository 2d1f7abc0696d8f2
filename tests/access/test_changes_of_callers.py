"""What callers may change who have different rows and columns of a table."""

from collections.abc import Callable
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from tests.access.callers import Clients, connect_callers, find_keys
from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import (
    assert_problem,
    assert_replayed,
    changes_of,
    etag_of,
    patch_status,
    set_status,
    set_statuses,
    status_of,
    withdraw,
)


@pytest.fixture
def clients(database: OrdersDatabase, open_app: AppOpener, tmp_path: Path) -> Clients:
    """Callers who change orders."""
    return connect_callers(database, open_app, tmp_path)


@pytest.mark.parametrize("change", [set_status, patch_status])
def test_a_change_that_takes_a_row_out_of_the_callers_rows_is_refused(
    clients: Clients, database: OrdersDatabase, change: Callable[..., TestResponse]
) -> None:
    [key] = find_keys(database, "O")
    assert_problem(change(clients["ann"], key, "F"), 403, "outside-your-rows")
    assert (status_of(clients["dan"], key), changes_of(clients["dan"], key)) == ("O", [])
    assert change(clients["ann"], key, "P").status_code == 200
    assert change(clients["dan"], key, "F").status_code == 200


def test_a_batch_that_takes_one_row_out_changes_none(clients: Clients, database: OrdersDatabase) -> None:
    stays, leaves = find_keys(database, "O", 2)
    batch = [
        {"o_orderkey": stays, "o_orderstatus": "P"},
        {"o_orderkey": leaves, "o_orderstatus": "F"},
    ]
    problem = assert_problem(set_statuses(clients["ann"], batch), 403, "outside-your-rows")
    assert [error["name"] for error in problem["errors"]] == ["1"]
    assert [status_of(clients["dan"], key) for key in (stays, leaves)] == ["O", "O"]


def test_a_batch_of_single_changes_refuses_those_that_leave_or_are_outside(
    clients: Clients, database: OrdersDatabase
) -> None:
    stays, leaves = find_keys(database, "O", 2)
    [outside] = find_keys(database, "F")
    batch = [
        {"o_orderkey": stays, "o_orderstatus": "P"},
        {"o_orderkey": leaves, "o_orderstatus": "F"},
        {"o_orderkey": outside, "o_orderstatus": "O"},
    ]
    body = set_statuses(clients["ann"], batch, "?atomic=false").json
    assert body is not None
    assert (body["changed"], body["refused"]) == (1, 2)
    assert [result["status"] for result in body["results"]] == [200, 403, 404]
    # Nothing is told of what is outside.
    assert body["results"][2]["etag"] is None
    assert body["results"][2]["o_orderstatus"] is None
    assert [status_of(clients["dan"], key) for key in (stays, leaves, outside)] == ["P", "O", "F"]


def test_a_withdrawal_that_shows_a_value_outside_is_refused(
    clients: Clients, database: OrdersDatabase
) -> None:
    [key] = find_keys(database, "F")
    assert withdraw(clients["ann"], key).status_code == 404
    assert set_status(clients["dan"], key, "O").status_code == 200
    assert status_of(clients["ann"], key) == "O"
    assert clients["bob"].get(f"/orders/{key}").status_code == 404
    assert_problem(withdraw(clients["ann"], key), 403, "outside-your-rows")
    assert status_of(clients["dan"], key) == "O"
    assert withdraw(clients["dan"], key).status_code == 200
    assert status_of(clients["bob"], key) == "F"


def test_a_row_outside_cannot_be_told_from_none(clients: Clients, database: OrdersDatabase) -> None:
    [key] = find_keys(database, "F")
    for answer in (
        set_status(clients["ann"], key, "O"),
        patch_status(clients["ann"], key, "O"),
        patch_status(clients["ann"], key, "O", {"If-Match": etag_of(clients["bob"], key)}),
        patch_status(clients["ann"], key, "O", {"If-Match": '"of-nothing"'}),
        withdraw(clients["ann"], key),
        set_statuses(clients["ann"], [{"o_orderkey": key, "o_orderstatus": "O"}]),
    ):
        told = assert_problem(answer, 404, "order-not-found")
        assert told["detail"] == f"There is no order {key}."
        assert "ETag" not in answer.headers


def test_to_whom_columns_are_hidden_an_etag_is_of_what_they_see(
    clients: Clients, database: OrdersDatabase
) -> None:
    [key] = find_keys(database, "O")
    etag = etag_of(clients["cid"], key)
    database.execute(f"UPDATE orders_synced SET o_comment = 'another' WHERE o_orderkey = {key}")
    assert etag_of(clients["cid"], key) == etag
    answer = patch_status(clients["cid"], key, "P", {"If-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == etag_of(clients["cid"], key)
    assert_problem(patch_status(clients["cid"], key, "O", {"If-Match": etag}), 412, "precondition-failed")
    database.execute(f"UPDATE orders_synced SET o_clerk = 'another' WHERE o_orderkey = {key}")
    stale = {"If-Match": answer.headers["ETag"]}
    assert patch_status(clients["cid"], key, "O", stale).status_code == 412


def test_an_idempotency_key_is_of_its_caller(clients: Clients, database: OrdersDatabase) -> None:
    [key] = find_keys(database, "O")
    once = {"Idempotency-Key": '"the-same-key"'}
    first = set_status(clients["ann"], key, "P", once)
    assert_replayed(set_status(clients["ann"], key, "P", once), first)
    theirs = set_status(clients["eve"], key, "O", once)
    assert theirs.status_code == 200
    assert "Idempotent-Replayed" not in theirs.headers
    assert_problem(set_status(clients["bob"], key, "P", once), 404, "order-not-found")
    assert [new for _, _, new in changes_of(clients["dan"], key)] == ["O", "P"]
    assert_problem(set_status(clients["ann"], key, "O", once), 422, "idempotency-key-reused")


def test_a_history_says_who_changed_a_row(clients: Clients, database: OrdersDatabase) -> None:
    [key] = find_keys(database, "O")
    for who, status in (("ann", "P"), ("cid", "O")):
        assert set_status(clients[who], key, status).status_code == 200
    body = clients["eve"].get(f"/orders/{key}/history").json
    assert body is not None
    assert [change["changed_by"] for change in body["changes"]] == ["cid", "ann"]
