"""How the orders are counted. A count is held up by a lock that the test has, never by time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.sql.counting import COUNTS_AT_ONCE
from tests.conftest import ORDERS, AppOpener, OrdersDatabase
from tests.waiting import wait_until

LOCK = 4711
# Counting the view waits for whoever holds the lock; planning it does not.
SLOW_VIEW = f"""
CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN true; END';
CREATE VIEW slow AS SELECT * FROM orders_synced WHERE (SELECT wait());
GRANT SELECT ON slow TO orders_app
"""
HELD_UP = """
FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'SELECT /*count_orders*/ count(*) FROM "public"%'
AND wait_event_type = 'Lock'
"""
COUNTING = f"SELECT count(*) {HELD_UP}"
CANCEL = f"SELECT pg_cancel_backend(pid) {HELD_UP}"


@pytest.fixture
def ask(database: OrdersDatabase, open_app: AppOpener) -> Callable[..., dict[str, Any]]:
    """Asks an app, of these settings, for the count of a table that can be held up."""
    database.execute(SLOW_VIEW)
    clients: dict[str, FlaskClient] = {}

    def ask(query: str = "", **settings: str) -> dict[str, Any]:
        environment = {**database.environment, "DEFAULT_POSTGRES_TABLE": "slow", **settings}
        client = clients.get(str(settings)) or open_app(environment).test_client()
        clients[str(settings)] = client
        answer = client.get(f"/orders/count{query}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json or {}, age=int(answer.headers["Age"]), cache=answer.headers["Cache-Control"])

    return ask


@contextmanager
def held_up(database: OrdersDatabase) -> Iterator[None]:
    with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock({LOCK})".encode())
        yield


def test_who_asks_at_once_shares_one_count(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    settings = {"COUNT_BUDGET": "60", "COUNT_TTL": "3600"}
    ask("?accuracy=estimated", **settings)
    with ThreadPoolExecutor(4) as threads:
        with held_up(database):
            asked = [threads.submit(ask, **settings) for _ in range(4)]
            wait_until(lambda: database.execute(COUNTING) == [(1,)])
        answers = [answer.result() for answer in asked]
    assert {(answer["total_orders"], answer["accuracy"]) for answer in answers} == {(ORDERS, "exact")}
    assert len({answer["as_of"] for answer in answers}) == 1


def test_a_count_is_the_answer_for_its_time_to_live(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    first = ask(COUNT_TTL="3600")
    assert first["cache"] == "private, max-age=3600"
    database.execute("DELETE FROM orders_synced WHERE o_orderkey = 1")
    again = ask(COUNT_TTL="3600")
    assert (again["total_orders"], again["as_of"]) == (ORDERS, first["as_of"])
    assert ask(COUNT_TTL="0")["total_orders"] == ORDERS - 1


def test_a_count_that_takes_long_is_estimated_at_once_and_served_when_it_is_done(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    settings = {"COUNT_BUDGET": "0.01", "COUNT_TTL": "0"}
    with held_up(database):
        estimated = ask(**settings)
        assert estimated["accuracy"] == "estimated"
        assert 0.5 * ORDERS <= estimated["total_orders"] <= 1.5 * ORDERS
        assert ask(**settings)["accuracy"] == "estimated"
        wait_until(lambda: database.execute(COUNTING) == [(1,)])
    wait_until(lambda: ask(**settings)["accuracy"] == "exact")
    exact = ask(**settings)
    assert exact["total_orders"] == ORDERS
    assert exact["as_of"] < estimated["as_of"]
    # It rests for many times what it took, which was more than a time to live of nothing.
    assert ask(**settings)["as_of"] == exact["as_of"]


def test_an_exact_count_is_waited_for_and_an_estimate_never_counts(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    settings = {"COUNT_BUDGET": "0", "COUNT_TTL": "0"}
    with ThreadPoolExecutor(1) as threads:
        with held_up(database):
            assert ask("?accuracy=estimated", **settings)["accuracy"] == "estimated"
            assert database.execute(COUNTING) == [(0,)]
            exact = threads.submit(ask, "?accuracy=exact", **settings)
            wait_until(lambda: database.execute(COUNTING) == [(1,)])
        assert exact.result()["accuracy"] == "exact"


def test_a_filter_is_counted_once_in_whatever_order_its_values_are_asked_for(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    settings = {"COUNT_TTL": "3600"}
    first = ask("?o_orderpriority=5-LOW&o_orderstatus=F&o_orderstatus=O", **settings)
    [(expected,)] = database.execute(
        "SELECT count(*) FROM orders_synced WHERE o_orderpriority = '5-LOW' AND o_orderstatus IN ('F', 'O')"
    )
    assert first["total_orders"] == expected
    again = ask("?o_orderstatus=O&o_orderstatus=F&o_orderstatus=O&o_orderpriority=5-LOW", **settings)
    assert again["as_of"] == first["as_of"]
    for other in (
        "",
        "?o_orderstatus=F&o_orderpriority=5-LOW",
        "?o_orderstatus=F&o_orderstatus=O&o_orderpriority=2-HIGH",
    ):
        assert ask(other, **settings)["as_of"] > first["as_of"]


def test_no_more_counts_run_at_once_than_may_and_the_others_are_estimated(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    settings = {"COUNT_BUDGET": "0.05", "COUNT_TTL": "3600"}
    filters = [f"?o_totalprice_min={number}" for number in range(COUNTS_AT_ONCE + 2)]
    with held_up(database):
        assert {ask(query, **settings)["accuracy"] for query in filters} == {"estimated"}
        wait_until(lambda: database.execute(COUNTING) == [(COUNTS_AT_ONCE,)])
        assert {ask(query, **settings)["accuracy"] for query in filters} == {"estimated"}
        assert database.execute(COUNTING) == [(COUNTS_AT_ONCE,)]
    wait_until(lambda: {ask(query, **settings)["accuracy"] for query in filters} == {"exact"})
    assert {ask(query, **settings)["total_orders"] for query in filters} == {ORDERS}


def test_a_filter_is_estimated_without_counting(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]]
) -> None:
    [(expected,)] = database.execute("SELECT count(*)::int FROM orders_synced WHERE o_orderstatus = 'F'")
    assert isinstance(expected, int)
    with held_up(database):
        estimated = ask("?o_orderstatus=F&accuracy=estimated")
        assert database.execute(COUNTING) == [(0,)]
    assert estimated["accuracy"] == "estimated"
    assert 0.8 * expected <= estimated["total_orders"] <= 1.2 * expected


def test_pages_say_when_their_total_is_an_estimate(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**database.environment, "COUNT_BUDGET": "0", "COUNT_TTL": "3600"}).test_client()
    estimated = client.get("/orders/pages?page_size=1").json
    assert estimated is not None
    assert estimated["pagination"]["total_accuracy"] == "estimated"
    wait_until(lambda: "total_accuracy" not in client.get("/orders/pages?page_size=1").text)
    exact = client.get("/orders/pages?page_size=1").json
    assert exact is not None
    assert (exact["pagination"]["total_count"], exact["pagination"]["total_pages"]) == (ORDERS, ORDERS)


def test_the_estimate_sums_over_partitions(database: OrdersDatabase, open_app: AppOpener) -> None:
    database.execute(
        "CREATE TABLE parts (LIKE orders_synced INCLUDING INDEXES) PARTITION BY HASH (o_orderkey);"
        "CREATE TABLE part_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE part_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO parts SELECT * FROM orders_synced; ANALYZE part_0, part_1;"
        "GRANT SELECT ON parts TO orders_app"
    )
    client = open_app({**database.environment, "DEFAULT_POSTGRES_TABLE": "parts"}).test_client()
    body = client.get("/orders/count?accuracy=estimated").json
    assert body is not None
    assert (body["total_orders"], body["accuracy"]) == (ORDERS, "estimated")


@pytest.mark.parametrize("query", ["", "?o_orderstatus=F"])
def test_a_count_for_which_the_system_had_no_thread_is_made_for_the_next_who_asks(
    unchanged_database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    client = open_app({**unchanged_database.environment, "COUNT_TTL": "0"}).test_client()
    exact = f"/orders/count{query}{'&' if query else '?'}accuracy=exact"

    def refuse_counts(thread: threading.Thread, start: Callable[..., None] = threading.Thread.start) -> None:
        if thread.name == "count":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_counts)
        for _ in range(COUNTS_AT_ONCE + 1):
            assert client.get(exact).status_code == 500
        estimated = client.get(f"/orders/count{query}").json
        assert estimated is not None
        assert estimated["accuracy"] == "estimated"
    counted = client.get(exact).json
    assert counted is not None
    assert counted["accuracy"] == "exact"


def test_a_count_that_fails_when_nobody_waits_for_it_is_in_the_log(
    database: OrdersDatabase, ask: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with held_up(database):
        assert ask(COUNT_BUDGET="0")["accuracy"] == "estimated"
        wait_until(lambda: (True,) in database.execute(CANCEL))
        wait_until(lambda: "Counting failed: QueryCanceled" in caplog.text)
