"""A change whose answer never came: the client sends it again with its key, and it is made once."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import OrdersDatabase, clone_database
from tests.fault_proxy import FaultProxy
from tests.gunicorn_process import STARTED, GunicornProcess
from tests.orders.changing import add_order, held_change, wait_for_waiting
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

KEPT = "SELECT count(*) FROM lakebase_api.idempotency WHERE key = '{}'"
MADE = "SELECT count(*) FROM lakebase_api.orders_history WHERE o_orderkey = {}"
BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'orders_app' AND state = 'active'
"""


@pytest.fixture(scope="module")
def shop(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database for the tests of this module."""
    return clone_database(server, "orders_crashed")


@pytest.fixture(scope="module")
def proxy(shop: OrdersDatabase) -> Iterator[FaultProxy]:
    with FaultProxy(shop.server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def gunicorn(shop: OrdersDatabase, proxy: FaultProxy) -> Iterator[GunicornProcess]:
    """The real server, behind the proxy, on a database that has the tables of changes."""
    with GunicornProcess({**shop.environment, "PGPORT": str(proxy.port)}) as gunicorn:
        gunicorn.wait_until_started()
        assert set_status(gunicorn, 1, "F").status_code == 200
        yield gunicorn


def set_status(gunicorn: GunicornProcess, key: int, status: str, name: str = "") -> requests.Response:
    headers = {"Idempotency-Key": f'"{name}"'} if name else {}
    url = f"{gunicorn.url}/orders/{key}/status"
    return requests.post(url, json={"o_orderstatus": status}, headers=headers, timeout=PATIENCE)


def history_of(gunicorn: GunicornProcess, key: int) -> list[Any]:
    changes = gunicorn.get(f"/orders/{key}/history").json()["changes"]
    return [(each["version"], each["old_status"], each["new_status"]) for each in changes]


def test_a_change_whose_connection_is_lost_before_the_answer_is_made_once(
    shop: OrdersDatabase, proxy: FaultProxy, gunicorn: GunicornProcess
) -> None:
    key = add_order(shop)
    with ThreadPoolExecutor(1) as threads:
        with held_change(shop, key):
            answer = threads.submit(set_status, gunicorn, key, "F", f"cut-{key}")
            wait_for_waiting(shop)
            proxy.cut()
        wait_until(lambda: shop.execute(MADE.format(key)) == [(1,)])
        # The service itself asks again, for as long as a client would wait.
        assert answer.result().status_code in (200, 409)
    again = set_status(gunicorn, key, "F", f"cut-{key}")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert history_of(gunicorn, key) == [(1, "O", "F")]


def test_a_change_without_a_key_whose_connection_is_lost_is_not_made_twice_and_the_client_is_told(
    shop: OrdersDatabase, proxy: FaultProxy, gunicorn: GunicornProcess
) -> None:
    key = add_order(shop)
    with ThreadPoolExecutor(1) as threads:
        with held_change(shop, key):
            answer = threads.submit(set_status, gunicorn, key, "F")
            wait_for_waiting(shop)
            proxy.cut()
            assert answer.result().json()["type"] == "/problems/outcome-unknown"
        wait_until(lambda: shop.execute(BUSY) == [(0,)])
    assert history_of(gunicorn, key) == [(1, "O", "F")]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_change_whose_worker_is_killed_around_the_commit_is_made_once(
    shop: OrdersDatabase, proxy: FaultProxy, gunicorn: GunicornProcess, moment: str
) -> None:
    key, name = add_order(shop), f"killed-{moment}"
    [worker] = psutil.Process(gunicorn.process.pid).children()
    started = gunicorn.output.count(STARTED)
    with ThreadPoolExecutor(1) as threads:
        with held_change(shop, key):
            answer = threads.submit(set_status, gunicorn, key, "F", name)
            wait_for_waiting(shop)
            if moment == "before":
                os.kill(worker.pid, signal.SIGKILL)
            else:
                proxy.stall()  # so that the worker does not hear of the commit
        wait_until(lambda: shop.execute(KEPT.format(name)) == [(1,)])
        if moment == "after":
            os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(requests.ConnectionError):
            answer.result()
    proxy.heal()
    gunicorn.wait_for_output(STARTED, started + 1)
    again = set_status(gunicorn, key, "F", name)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["o_orderstatus"] == "F"
    assert history_of(gunicorn, key) == [(1, "O", "F")]
