"""What a client reads while connections die, the database sleeps, or the network stalls."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.faults.service import SESSIONS, AppStarter, assert_retryable, is_ready
from tests.load import Load, get

KILL_ALL = f"SELECT pg_terminate_backend(pid) {SESSIONS}"


@pytest.mark.parametrize(
    "death", ["cut by the network", pytest.param("killed by the server", marks=pytest.mark.slow)]
)
def test_no_read_fails_when_every_connection_dies_at_once_under_32_clients(
    database: OrdersDatabase, proxy: FaultProxy, start: AppStarter, death: str
) -> None:
    gunicorn = start()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=32) as load:
        for _ in range(3):
            load.wait_for_each(2)
            if death == "cut by the network":
                proxy.cut()
            else:
                database.execute(KILL_ALL)
        load.wait_for_each(2)
    assert load.failures() == {}, gunicorn.output


@pytest.mark.parametrize("outage", ["refuse", "starting_up"])
def test_reads_wait_for_a_database_that_wakes_up_and_none_fails(
    proxy: FaultProxy, start: AppStarter, outage: str
) -> None:
    gunicorn = start()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=8) as load:
        load.wait_for_each(2)
        getattr(proxy, outage)()
        proxy.cut()
        gunicorn.wait_until(lambda: not is_ready(gunicorn))
        proxy.heal()
        load.wait_for_each(2)
    assert load.failures() == {}


def test_an_outage_longer_than_the_wake_budget_is_answered_503_and_its_end_is_found_with_nobody_asking(
    proxy: FaultProxy, start: AppStarter
) -> None:
    proxy.starting_up()
    gunicorn = start(WAKE_BUDGET="0.2")
    assert_retryable(gunicorn.get("/orders/1"), "database-unavailable")
    assert gunicorn.get("/livez").status_code == 200
    before = proxy.counts.turned_away
    proxy.wait_for(lambda counts: counts.turned_away >= before + 2)
    assert_retryable(gunicorn.get("/orders/1"), "database-unavailable")
    proxy.heal()
    gunicorn.wait_until(lambda: is_ready(gunicorn))
    assert gunicorn.get("/orders/1").status_code == 200


@pytest.mark.slow
def test_in_a_stalled_network_requests_end_by_their_deadline_and_no_thread_is_lost(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start(WEB_THREADS="8", DB_POOL_MAX_WAITING="8")
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.stall()
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(gunicorn.get, "/orders/1", **{"X-Request-Timeout": "0.5"}) for _ in range(16)]
        assert [answer.result().status_code for answer in asked] == [504] * 16
    assert gunicorn.get("/livez").status_code == 200
    proxy.heal()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=8) as load:
        load.wait_for_each(2)


@pytest.mark.slow
def test_connections_that_the_network_forgot_are_replaced_after_a_deadline(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start()
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.forget()
    assert gunicorn.get("/orders/1", **{"X-Request-Timeout": "0.5"}).status_code == 504
    with Load(gunicorn.port, lambda: get("/orders/1", **{"X-Request-Timeout": "0.5"}), clients=8) as load:
        load.wait_for_each(2)
    assert set(load.failures()) <= {"504 deadline-exceeded"}
