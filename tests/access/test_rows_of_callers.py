"""Callers with different rows of a table share no count, no list and no cursor."""

from pathlib import Path
from typing import Any

import pytest

from tests.access.callers import WHERE, Clients, connect_callers, find_keys
from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem

LISTS = (
    "/orders/pages",
    "/orders/stream",
    "/orders/stream?sort=-o_orderdate&fields=o_orderkey",
    "/orders/pages?sort=o_orderdate",
)


@pytest.fixture
def clients(unchanged_database: OrdersDatabase, open_app: AppOpener, tmp_path: Path) -> Clients:
    """Callers who only read."""
    return connect_callers(unchanged_database, open_app, tmp_path)


def count_truly(database: OrdersDatabase, who: str) -> int:
    [(count,)] = database.execute(f"SELECT count(*) FROM orders_synced WHERE {WHERE[who]}")
    assert isinstance(count, int)
    return count


def list_statuses(body: Any) -> set[str]:
    return {row["o_orderstatus"] for row in body["orders"]}


def test_a_count_that_is_remembered_is_of_callers_with_the_same_rows_alone(
    clients: Clients, unchanged_database: OrdersDatabase
) -> None:
    truth = {who: count_truly(unchanged_database, who) for who in WHERE}
    assert len(set(truth.values())) == 3
    for _ in range(2):
        for who, count in truth.items():
            answer = clients[who].get("/orders/count?accuracy=exact")
            assert answer.json is not None
            assert answer.json["total_orders"] == count
            assert answer.headers["Cache-Control"].startswith("private, max-age=")
            body = clients[who].get("/orders/pages?include_count=true").json
            assert body is not None
            assert body["pagination"]["total_count"] == count
    same = clients["eve"].get("/orders/count").json
    assert same is not None
    assert same["total_orders"] == truth["ann"]


def test_a_filter_does_not_count_what_is_outside(clients: Clients) -> None:
    for path in ("/orders/count?o_orderstatus=F", "/orders/count?o_orderstatus=F&accuracy=exact"):
        body = clients["ann"].get(path).json
        assert body is not None
        assert body["total_orders"] == 0


def test_an_estimate_is_of_the_rows_of_the_caller(clients: Clients) -> None:
    estimates = {}
    for who in WHERE:
        body = clients[who].get("/orders/count?accuracy=estimated").json
        assert body is not None
        estimates[who] = body["total_orders"]
    assert estimates["ann"] < estimates["dan"]
    assert estimates["bob"] < estimates["dan"]


@pytest.mark.parametrize("path", LISTS)
def test_an_answer_of_one_caller_is_never_unchanged_for_another(clients: Clients, path: str) -> None:
    answers = {who: client.get(path) for who, client in clients.items() if who != "eve"}
    etags = {who: answer.headers["ETag"] for who, answer in answers.items()}
    assert len(set(etags.values())) == len(etags)
    for who, answer in answers.items():
        assert answer.headers["Cache-Control"] == "private, no-cache"
        for other, etag in etags.items():
            again = clients[who].get(path, headers={"If-None-Match": etag})
            assert again.status_code == (304 if other == who else 200), (who, other)
            if other != who:
                assert again.json == answer.json


def test_a_row_of_another_is_not_there_however_it_is_asked_for(
    clients: Clients, unchanged_database: OrdersDatabase
) -> None:
    [key] = find_keys(unchanged_database, "F")
    path = f"/orders/{key}"
    etag = clients["bob"].get(path).headers["ETag"]
    assert_problem(clients["ann"].get(path, headers={"If-None-Match": etag}), 404, "order-not-found")
    body = clients["ann"].get(f"/orders?keys={key}").json
    assert body is not None
    assert (body["orders"], body["missing"]) == ([], [key])
    assert clients["ann"].get(f"{path}/history").status_code == 404
    answer = clients["bob"].get(path, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (304, "private, no-cache")


def test_a_cursor_of_another_shows_the_callers_own_rows_or_nothing(clients: Clients) -> None:
    body = clients["bob"].get("/orders/stream?page_size=5").json
    assert body is not None
    cursor = body["pagination"]["next_cursor"]
    theirs = clients["ann"].get(f"/orders/stream?page_size=50&cursor={cursor}").json
    assert list_statuses(theirs) == {"O", "P"}
    for sort in ("o_orderdate", "-o_totalprice"):
        path = f"/orders/stream?page_size=5&sort={sort}"
        body = clients["bob"].get(path).json
        assert body is not None
        cursor = body["pagination"]["next_cursor"]
        assert list_statuses(clients["bob"].get(f"{path}&cursor={cursor}").json) == {"F"}
        assert_problem(clients["ann"].get(f"{path}&cursor={cursor}"), 400, "foreign-cursor")


def test_samples_and_exports_have_the_callers_own_rows(
    clients: Clients, unchanged_database: OrdersDatabase
) -> None:
    for who in ("ann", "bob"):
        body = clients[who].get("/orders/sample").json
        assert body is not None
        keys = body["sample_order_keys"]
        found = clients[who].get(f"/orders?keys={','.join(map(str, keys))}").json
        assert found is not None
        assert keys
        assert found["missing"] == []
        _, *rows = clients[who].get("/orders/export").text.splitlines()
        assert len(rows) == count_truly(unchanged_database, who)


def test_a_hidden_column_is_in_no_answer_and_no_other_caller_loses_it(clients: Clients) -> None:
    for path in ("/orders/1", "/orders?keys=1", "/orders/stream?page_size=1", "/orders/pages?page_size=1"):
        for who, is_shown in (("cid", False), ("dan", True)):
            text = clients[who].get(path).text
            assert [name in text for name in ("o_comment", "o_totalprice")] == [is_shown] * 2, (who, path)
    lines = clients["cid"].get("/orders/export").text
    assert "o_comment" not in lines
