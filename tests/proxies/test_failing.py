"""What becomes of requests through a proxy that is set up as docs/ says, when an instance goes away."""

import itertools
import json
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import requests

from tests.conftest import OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.load import Load, get, post
from tests.proxies.conftest import INSTANCES, Front, OpenFront
from tests.reverse_proxies import NGINX
from tests.waiting import PATIENCE

# Each starts two servers and a proxy.
pytestmark = pytest.mark.slow

READ = get("/orders/1")
# By the same statement as any other, so that the history has a version for each that was made.
CHANGES = [post("/orders/1/status", f'{{"o_orderstatus": "{status}"}}') for status in "FP"]
WAITING = """
SELECT application_name FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
HISTORY = "lakebase_api.orders_history"
VERSIONS = f"SELECT count(*) FROM {HISTORY} WHERE o_orderkey = 1"


@contextmanager
def held_up(database: OrdersDatabase, table: str) -> Iterator[None]:
    """No statement on the table gets on meanwhile."""
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute(f"LOCK TABLE {table}".encode())
        yield
        holder.rollback()


def find_waiting(database: OrdersDatabase) -> list[str]:
    """The instances whose statements wait for a lock."""
    return [str(name) for (name,) in database.execute(WAITING) if name in INSTANCES]


def connect(front: Front) -> requests.Session:
    """A client that keeps a connection on which it has had an order changed."""
    client = requests.Session()
    url = f"{front.proxy.url}/orders/1/status"
    assert client.post(url, json={"o_orderstatus": "F"}, timeout=PATIENCE).status_code == 200
    # The line of that is not to be taken for one of a later request.
    instances = front.instances.values()
    front.wait_until(lambda: any("POST /orders/1/status " in instance.output for instance in instances))
    return client


def begin(
    threads: ThreadPoolExecutor, front: Front, client: requests.Session, method: str, path: str, **body: str
) -> Future[requests.Response]:
    """A request that is answered in the background."""
    url = f"{front.proxy.url}{path}"
    headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    data = json.dumps(body) if body else None
    return threads.submit(lambda: client.request(method, url, data=data, headers=headers, timeout=PATIENCE))


def count_versions(database: OrdersDatabase) -> int:
    """How often the order was changed."""
    [(count,)] = database.execute(VERSIONS)
    return int(str(count))


def kill_who_waits(front: Front, database: OrdersDatabase) -> str:
    """Kill the instance that has the request; gives the other one."""
    front.wait_until(lambda: len(find_waiting(database)) == 1)
    [name] = find_waiting(database)
    front.kill(name)
    [other] = set(INSTANCES) - {name}
    return other


def test_a_read_whose_instance_dies_in_the_middle_is_answered_by_the_other(
    open_front: OpenFront, database: OrdersDatabase
) -> None:
    front = open_front()
    client = connect(front)
    with ThreadPoolExecutor(1) as threads:
        with held_up(database, "orders_synced"):
            answer = begin(threads, front, client, "GET", "/orders/1")
            other = kill_who_waits(front, database)
            front.wait_until(lambda: other in find_waiting(database))
        assert answer.result().json()["o_orderkey"] == 1


@pytest.mark.parametrize(("method", "path"), [("POST", "/orders/1/status"), ("PATCH", "/orders/1")])
def test_a_change_whose_instance_dies_in_the_middle_is_not_sent_again(
    open_front: OpenFront, database: OrdersDatabase, method: str, path: str
) -> None:
    front = open_front()
    client = connect(front)
    asked = {name: instance.output.count(f"{method} {path} ") for name, instance in front.instances.items()}
    with ThreadPoolExecutor(1) as threads, held_up(database, HISTORY):
        answer = begin(threads, front, client, method, path, o_orderstatus="P")
        other = kill_who_waits(front, database)
        assert answer.result().status_code == 502
        assert other not in find_waiting(database)
    # What the database was asked before the instance died, it may do all the same.
    front.wait_until(lambda: not find_waiting(database))
    assert count_versions(database) in (1, 2)
    assert front.instances[other].output.count(f"{method} {path} ") == asked[other]


def test_a_withdrawal_whose_instance_dies_in_the_middle_is_made_once(
    open_front: OpenFront, database: OrdersDatabase
) -> None:
    front = open_front()
    client = connect(front)
    with ThreadPoolExecutor(1) as threads:
        with held_up(database, HISTORY):
            answer = begin(threads, front, client, "DELETE", "/orders/1/status")
            kill_who_waits(front, database)
            if front.proxy.name == NGINX:  # sends it again
                front.wait_until(lambda: len(find_waiting(database)) == 2)
        status = answer.result().status_code
    assert status == (200 if front.proxy.name == NGINX else 502)
    front.wait_until(lambda: not find_waiting(database))
    assert count_versions(database) == 2


@pytest.mark.parametrize("way", ["SIGTERM", "SIGKILL"])
def test_an_instance_goes_and_comes_while_clients_go_on(
    open_front: OpenFront, database: OrdersDatabase, way: str
) -> None:
    front = open_front()
    reads = itertools.cycle([READ])
    changes = itertools.cycle(CHANGES)
    with (
        Load(front.proxy.port, lambda: next(reads), clients=4) as reading,
        Load(front.proxy.port, lambda: next(changes)) as changing,
    ):
        reading.wait_for_each(5)
        changing.wait_for_each(5)
        if way == "SIGKILL":
            front.kill("first")
        else:
            front.instances["first"].process.send_signal(signal.SIGTERM)
            front.instances["first"].process.wait(PATIENCE)
        reading.wait_for_each(20)
        changing.wait_for_each(5)
    assert reading.failures() == {}
    # One was under way, and the listener may have taken another before the last process was gone.
    lost = sum(changing.failures().values())
    assert lost <= (2 if way == "SIGKILL" else 0), changing.failures()
    made = len(changing.samples) - lost
    # After one that was not made, the next may be to what the order has.
    assert made - lost <= count_versions(database) <= made + lost


def test_an_export_whose_instance_dies_is_seen_to_be_cut(
    open_front: OpenFront, database: OrdersDatabase
) -> None:
    database.execute(
        "INSERT INTO orders_synced (o_orderkey, o_comment) "
        "SELECT number, repeat('large ', 5000) FROM generate_series(100001, 102000) AS number"
    )
    front = open_front()
    url = f"{front.proxy.url}/orders/export?format=ndjson"
    with requests.get(url, stream=True, timeout=PATIENCE) as answer:
        pieces = answer.iter_content(65536)
        next(pieces)
        for name in INSTANCES:
            front.kill(name)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(pieces)


def test_while_no_instance_is_ready_they_say_themselves_why_and_they_are_found_again(
    open_front: OpenFront, database: OrdersDatabase
) -> None:
    with FaultProxy(database.server.port) as network:
        front = open_front(PGPORT=str(network.port), WAKE_BUDGET="0")
        network.refuse()
        network.cut()

        def ask() -> requests.Response:
            return requests.get(f"{front.proxy.url}/orders/1", timeout=PATIENCE)

        def are_not_ready() -> bool:
            # Each has to have tried.
            ask()
            return all(instance.get("/readyz").status_code == 503 for instance in front.instances.values())

        front.wait_until(are_not_ready)
        front.wait_until(lambda: "application/problem+json" in ask().headers["Content-Type"])
        refused = [ask() for _ in range(10)]
        assert {each.status_code for each in refused} == {503}
        assert all(each.json()["type"] == "/problems/database-unavailable" for each in refused)
        assert all("Retry-After" in each.headers for each in refused)
        network.heal()
        front.wait_until(lambda: ask().status_code == 200)
