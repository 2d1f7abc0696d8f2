"""What bounds requests and connections: deadlines, a full queue, a full server, idleness."""

import itertools
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import pytest
import requests

from tests.conftest import OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.faults.service import (
    ONE_CONNECTION,
    SESSIONS,
    WAITING,
    AppStarter,
    assert_retryable,
    describe_parts,
    is_ready,
    locked,
)
from tests.load import Load, get


def test_more_requests_than_pool_and_queue_take_are_refused_at_once_and_the_others_served(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(DB_POOL_SIZE="2", DB_MAX_OVERFLOW="0", DB_POOL_MAX_WAITING="2")
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=4) as load:
        load.wait_for_each(10)
    with ThreadPoolExecutor(10) as threads:
        with locked(database):
            asked = [threads.submit(gunicorn.get, "/orders/1") for _ in range(10)]
            refused: list[Future[requests.Response]] = list(itertools.islice(as_completed(asked), 6))
            assert gunicorn.get("/livez").status_code == 200
            assert is_ready(gunicorn)
        for answer in refused:
            assert_retryable(answer.result(), "pool-exhausted")
        assert [answer.result().status_code for answer in asked if answer not in refused] == [200] * 4


def test_a_statement_ends_with_the_deadline_of_its_request_and_the_connection_serves_the_next(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(**ONE_CONNECTION)
    assert gunicorn.get("/orders/1").status_code == 200
    [(backend,)] = database.execute(f"SELECT pid {SESSIONS}")
    with locked(database):
        answer = gunicorn.get("/orders/1", **{"X-Request-Timeout": "0.3"})
        assert answer.status_code == 504
        assert answer.json()["type"] == "/problems/deadline-exceeded"
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(0,)])
    assert gunicorn.get("/orders/1").status_code == 200
    assert database.execute(f"SELECT pid {SESSIONS}") == [(backend,)]


def test_the_setting_bounds_every_request_and_a_header_only_shortens_it(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(REQUEST_TIMEOUT="0.3", **ONE_CONNECTION)
    gunicorn.wait_until(lambda: gunicorn.get("/orders/1").status_code == 200)
    with locked(database):
        assert gunicorn.get("/orders/1").status_code == 504
        assert gunicorn.get("/orders/1", **{"X-Request-Timeout": "60"}).status_code == 504


@pytest.mark.slow
def test_without_requests_the_last_connection_is_closed_and_the_next_request_opens_one(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start(DB_POOL_SIZE="0", DB_POOL_IDLE_TIMEOUT="1")
    assert gunicorn.get("/orders/1").status_code == 200
    with Load(gunicorn.port, lambda: get("/readyz"), pause=0.1) as probes:
        proxy.wait_for(lambda counts: counts.open == 0)
        probes.wait_for_each(2)
    assert probes.failures() == {}
    assert gunicorn.get("/orders/1").status_code == 200


@pytest.mark.slow
def test_a_server_with_no_connection_left_is_asked_for_half_as_many_and_those_there_are_serve_on(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start(DB_POOL_SIZE="1", DB_MAX_OVERFLOW="7", WAKE_BUDGET="0.2")
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.too_many()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=16) as load:
        load.wait_for_each(20)
        turned_away = proxy.counts.turned_away
    assert load.failures() == {}
    assert 1 <= turned_away <= 4
    proxy.cut()
    assert_retryable(gunicorn.get("/orders/1"), "database-unavailable")
    assert "no connection left" in describe_parts(gunicorn)
    proxy.heal()
    gunicorn.wait_until(lambda: gunicorn.get("/orders/1").status_code == 200)
