"""What is found by a key is answered, however many ask for what is not.

Nothing here depends on time: what goes through the table is held up at an order by a lock that the test has.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import psycopg
import pytest
import requests

from tests.conftest import OrdersDatabase
from tests.faults.service import AppStarter, assert_retryable
from tests.gunicorn_process import GunicornProcess
from tests.waiting import PATIENCE

LOCK = 4711
# Only who looks at the clerk or the price of the order of key 2 waits.
HELD_UP = f"""
CREATE FUNCTION wait(key bigint) RETURNS boolean STABLE LANGUAGE plpgsql AS
    'BEGIN IF key = 2 THEN PERFORM pg_advisory_xact_lock_shared({LOCK}); END IF; RETURN true; END';
CREATE VIEW held_up AS
    SELECT o_orderkey, o_custkey, o_orderstatus,
        CASE WHEN wait(o_orderkey) THEN o_totalprice END AS o_totalprice,
        o_orderdate, o_orderpriority,
        CASE WHEN wait(o_orderkey) THEN o_clerk END AS o_clerk,
        o_shippriority, o_comment
    FROM orders_synced;
GRANT SELECT ON held_up TO orders_app
"""
WAITING = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711"
SCANS = [
    "/orders/stream?o_clerk=nobody",
    "/orders/stream?sort=o_totalprice,o_clerk",
    "/orders/pages?sort=-o_clerk&include_count=false",
    "/orders/pages?o_clerk=nobody&include_count=false",
    "/orders/sample?o_clerk=nobody",
]
READS = [
    "/orders/1",
    "/orders?keys=1,3",
    "/orders/stream?cursor=2&page_size=5",
    "/orders/sample",
    "/orders/1/history",
]
CROWD = 24
# Of 4 connections one is for what takes long, and of the threads four are for those who wait for it.
BOUNDS = {
    "WEB_THREADS": "36",
    "DB_POOL_MAX_WAITING": "8",
    "EXPORT_CONCURRENCY": "1",
    "DB_COMMAND_TIMEOUT": "60",
}


@contextmanager
def held_up(database: OrdersDatabase) -> Iterator[None]:
    with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock({LOCK})".encode())
        yield


@pytest.fixture
def gunicorn(database: OrdersDatabase, start: AppStarter) -> GunicornProcess:
    database.execute(HELD_UP)
    gunicorn = start(DEFAULT_POSTGRES_TABLE="held_up", **BOUNDS)
    assert gunicorn.get("/orders/1").status_code == 200
    return gunicorn


def send(gunicorn: GunicornProcess, path: str) -> requests.Response:
    return requests.get(gunicorn.url + path, timeout=PATIENCE)


def test_reads_by_key_are_answered_while_others_ask_for_what_takes_long(
    database: OrdersDatabase, gunicorn: GunicornProcess
) -> None:
    with ThreadPoolExecutor(CROWD) as threads:
        with held_up(database):
            asked = [
                threads.submit(send, gunicorn, path)
                for path in itertools.islice(itertools.cycle(SCANS), CROWD)
            ]
            # One runs and four wait.
            refused = list(itertools.islice(as_completed(asked), CROWD - 5))
            for path in READS:
                assert send(gunicorn, path).status_code == 200
            assert database.execute(WAITING) == [(1,)]
        for answer in refused:
            assert_retryable(answer.result(), "pool-exhausted")
        assert [answer.result().status_code for answer in asked if answer not in refused] == [200] * 5
    assert send(gunicorn, SCANS[0]).status_code == 200


def test_probes_and_reads_are_answered_while_others_wait_for_exact_counts(
    database: OrdersDatabase, gunicorn: GunicornProcess
) -> None:
    count: Callable[[int], str] = "/orders/count?accuracy=exact&o_clerk=nobody&o_totalprice_min={}".format
    with ThreadPoolExecutor(CROWD) as threads:
        with held_up(database):
            asked = [threads.submit(send, gunicorn, count(number)) for number in range(CROWD)]
            refused: list[Future[requests.Response]] = list(itertools.islice(as_completed(asked), CROWD - 4))
            assert send(gunicorn, "/livez").status_code == 200
            assert send(gunicorn, "/orders/1").status_code == 200
            # Who does not insist gets an estimate.
            assert send(gunicorn, "/orders/count?o_clerk=nobody").json()["accuracy"] == "estimated"
        for answer in refused:
            assert_retryable(answer.result(), "pool-exhausted")
        assert [answer.result().status_code for answer in asked if answer not in refused] == [200] * 4


def test_who_waits_longer_than_it_may_for_its_turn_is_told_that_its_time_is_over(
    database: OrdersDatabase, gunicorn: GunicornProcess
) -> None:
    with ThreadPoolExecutor(1) as threads, held_up(database):
        first = threads.submit(send, gunicorn, SCANS[0])
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(1,)])
        answer = gunicorn.get(SCANS[0], **{"X-Request-Timeout": "0.2"})
        assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-exceeded")
        assert not first.done()
