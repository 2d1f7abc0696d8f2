"""Changes outlast whatever a sync does to the orders table."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import ROLE, OrdersDatabase
from tests.orders.changing import assert_problem, changes_of, etag_of, read, set_status, status_of, withdraw

Sync = Callable[[OrdersDatabase], None]


def reload_table(database: OrdersDatabase) -> None:
    """Write every row anew, as a snapshot sync does."""
    database.execute("CREATE TABLE snapshot AS TABLE orders_synced")
    database.execute("TRUNCATE orders_synced; INSERT INTO orders_synced TABLE snapshot; DROP TABLE snapshot")


def replace_table(database: OrdersDatabase) -> None:
    """Put another table in its place, with the grants that the platform's owner must give again."""
    database.execute("CREATE TABLE snapshot (LIKE orders_synced INCLUDING ALL)")
    database.execute("INSERT INTO snapshot TABLE orders_synced")
    database.execute(f"GRANT SELECT ON snapshot TO {ROLE}")
    database.execute("DROP TABLE orders_synced; ALTER TABLE snapshot RENAME TO orders_synced")


SYNCS = pytest.mark.parametrize("sync", [reload_table, replace_table])


def conflict_of(client: FlaskClient, order_key: int) -> bool:
    conflict: bool = read(client, f"/orders/{order_key}/history")["status_conflict"]
    return conflict


@SYNCS
def test_a_change_still_shows_after_a_sync(database: OrdersDatabase, client: FlaskClient, sync: Sync) -> None:
    assert set_status(client, 1, "F").status_code == 200
    for _ in range(6):  # by then the statements are prepared
        assert status_of(client, 1) == "F"
    sync(database)
    assert status_of(client, 1) == "F"
    for name in ("pages", "stream"):
        first, second = read(client, f"/orders/{name}?page_size=2")["orders"]
        assert (first["o_orderstatus"], second["o_orderstatus"]) == ("F", "O")
    assert changes_of(client, 1) == [(1, "O", "F")]
    assert not conflict_of(client, 1)


@SYNCS
def test_a_sync_that_changed_nothing_leaves_every_etag(
    database: OrdersDatabase, client: FlaskClient, sync: Sync
) -> None:
    untouched = etag_of(client, 2)
    changed = set_status(client, 1, "F").headers["ETag"]
    sync(database)
    assert (etag_of(client, 1), etag_of(client, 2)) == (changed, untouched)
    assert set_status(client, 1, "P", {"If-Match": changed}).status_code == 200


@pytest.mark.parametrize(
    "column",
    ["o_custkey", "o_orderstatus", "o_totalprice", "o_orderdate", "o_orderpriority", "o_clerk", "o_comment"],
)
def test_any_change_of_a_row_changes_its_etag(
    database: OrdersDatabase, client: FlaskClient, column: str
) -> None:
    before = etag_of(client, 1)
    database.execute(
        f"UPDATE orders_synced SET {column} = "
        f"(SELECT {column} FROM orders_synced AS o WHERE o.{column} <> orders_synced.{column} LIMIT 1)"
        " WHERE o_orderkey = 1"
    )
    assert etag_of(client, 1) != before


def test_null_and_the_text_null_have_different_etags(database: OrdersDatabase, client: FlaskClient) -> None:
    etags = set()
    for comment in ("NULL", "'NULL'", "''", "' '"):
        database.execute(f"UPDATE orders_synced SET o_comment = {comment} WHERE o_orderkey = 1")
        etags.add(etag_of(client, 1))
    assert len(etags) == 4


def test_a_status_that_was_changed_and_changed_back_has_another_etag(client: FlaskClient) -> None:
    etags = [etag_of(client, 1)]
    for status in ("F", "O"):
        etags.append(set_status(client, 1, status).headers["ETag"])
        assert etag_of(client, 1) == etags[-1]
    etags.append(withdraw(client, 1).headers["ETag"])
    assert etag_of(client, 1) == etags[-1]
    assert len(set(etags)) == 4


@pytest.mark.parametrize(("synced", "conflict"), [("O", False), ("F", False), ("P", True), ("NULL", True)])
def test_a_change_stays_and_a_status_that_is_neither_old_nor_new_is_reported(
    database: OrdersDatabase, client: FlaskClient, synced: str, conflict: bool
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    value = "NULL" if synced == "NULL" else f"'{synced}'"
    database.execute(f"UPDATE orders_synced SET o_orderstatus = {value} WHERE o_orderkey = 1")
    history = read(client, "/orders/1/history")
    assert (history["o_orderstatus"], history["status_conflict"]) == ("F", conflict)
    assert history["synced_status"] == (None if synced == "NULL" else synced)
    assert status_of(client, 1) == "F"


@pytest.mark.parametrize(
    ("end", "shown"),
    [(lambda client: set_status(client, 1, "O"), "O"), (lambda client: withdraw(client, 1), "P")],
    ids=["change", "withdrawal"],
)
def test_a_conflict_ends_with_the_next_change_or_with_the_withdrawal(
    database: OrdersDatabase, client: FlaskClient, end: Callable[[FlaskClient], TestResponse], shown: str
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    database.execute("UPDATE orders_synced SET o_orderstatus = 'P' WHERE o_orderkey = 1")
    assert conflict_of(client, 1)
    assert end(client).status_code == 200
    assert (status_of(client, 1), conflict_of(client, 1)) == (shown, False)


def test_a_withdrawn_change_shows_the_synced_status_of_now_and_of_later(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    database.execute("UPDATE orders_synced SET o_orderstatus = 'P' WHERE o_orderkey = 1")
    answer = withdraw(client, 1)
    assert answer.json == {
        "o_orderkey": 1,
        "o_orderstatus": "P",
        "message": "Order status change withdrawn",
    }
    assert status_of(client, 1) == "P"
    database.execute("UPDATE orders_synced SET o_orderstatus = 'O' WHERE o_orderkey = 1")
    assert status_of(client, 1) == "O"
    assert changes_of(client, 1) == [(2, "F", "P"), (1, "O", "F")]
    [withdrawal, change] = read(client, "/orders/1/history")["changes"]
    assert (withdrawal["is_withdrawal"], change["is_withdrawal"]) == (True, False)


def test_to_withdraw_where_nothing_was_changed_is_answered_200_and_not_recorded(client: FlaskClient) -> None:
    assert withdraw(client, 1).status_code == 200
    assert set_status(client, 1, "F").status_code == 200
    for _ in range(2):
        assert withdraw(client, 1).status_code == 200
    assert changes_of(client, 1) == [(2, "F", "O"), (1, "O", "F")]
    assert_problem(withdraw(client, 8), 404, "order-not-found")


def test_an_order_that_left_its_table_keeps_its_history_and_comes_back_as_it_was_changed(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    database.execute("CREATE TABLE kept AS SELECT * FROM orders_synced WHERE o_orderkey = 1")
    database.execute("DELETE FROM orders_synced WHERE o_orderkey = 1")
    for answer in (client.get("/orders/1"), set_status(client, 1, "P"), withdraw(client, 1)):
        assert_problem(answer, 404, "order-not-found")
    history = read(client, "/orders/1/history")
    assert (history["o_orderstatus"], history["synced_status"]) == (None, None)
    assert not history["status_conflict"]
    assert changes_of(client, 1) == [(1, "O", "F")]
    database.execute("INSERT INTO orders_synced TABLE kept")
    assert status_of(client, 1) == "F"
