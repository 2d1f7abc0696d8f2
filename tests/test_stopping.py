"""The real server process, stopped while clients are in the middle of something."""

import http.client
import json
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import requests

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import ROOT, STARTED, GunicornProcess
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

Starter = Callable[[dict[str, str]], GunicornProcess]

SHUT = "Draining: the listeners are shut"
REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%o_custkey%'
"""
# Most orders take a moment to read, one takes 3 s, and the last one longer than anybody waits.
SLOW = """
CREATE VIEW slow_orders AS SELECT * FROM orders_synced
WHERE o_orderkey <= 32
OR pg_sleep(CASE o_orderkey WHEN 60000 THEN 100 WHEN 59975 THEN 3 ELSE 0.0003 END) IS NOT NULL;
GRANT SELECT ON slow_orders TO orders_app
"""
SLEEPING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'PgSleep' AND query LIKE '%o_custkey%'
"""
# Sends itself the signal as early as a worker can: before it has a handler of its own.
CONFIGURATION = """
import os, signal
exec(open({path!r}).read())
original = post_fork
def post_fork(server, worker):
    if worker.age == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    original(server, worker)
"""


def find_worker(gunicorn: GunicornProcess) -> psutil.Process:
    """The only worker's process."""
    [worker] = psutil.Process(gunicorn.process.pid).children()
    return worker


def connect(gunicorn: GunicornProcess) -> socket.socket:
    """A new connection."""
    return socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE)


def read_to_the_end(client: socket.socket) -> bytes:
    """Everything until the server closes its side."""
    with client, client.makefile("rb") as received:
        return received.read()


@contextmanager
def request_in_the_database(database: OrdersDatabase, gunicorn: GunicornProcess) -> Iterator[Future[int]]:
    """The status of a request that hangs in a statement until the block ends."""
    with ThreadPoolExecutor(1) as threads, psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        url = f"{gunicorn.url}/orders/1"
        answer = threads.submit(lambda: requests.get(url, timeout=PATIENCE).status_code)
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(1,)])
        yield answer


@contextmanager
def kept_connection(gunicorn: GunicornProcess) -> Iterator[http.client.HTTPConnection]:
    """A connection that has had an answer and is kept for more."""
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", "/orders/1")
        answer = connection.getresponse()
        answer.read()
        assert answer.getheader("Connection") == "keep-alive"
        yield connection


def test_while_it_drains_it_answers_everybody_and_says_that_it_closes(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn({**unchanged_database.environment, "DRAIN_DELAY": "8"}).wait_until_started()
    with kept_connection(gunicorn) as kept:
        gunicorn.process.send_signal(signal.SIGTERM)
        gunicorn.wait_for_output("Draining: ")
        kept.request("GET", "/orders/1")
        last = kept.getresponse()
        assert (last.status, last.getheader("Connection")) == (200, "close")
    ready = requests.get(f"{gunicorn.url}/readyz?verbose", timeout=PATIENCE)
    assert (ready.status_code, ready.headers["Connection"]) == (503, "close")
    assert ready.json()["parts"] == {
        "token": "ok",
        "database": "ok",
        "draining": "the service is stopping",
        "table": "ok",
    }
    assert requests.get(f"{gunicorn.url}/livez", timeout=PATIENCE).status_code == 200
    # The rest of the delay is not waited for.
    gunicorn.process.send_signal(signal.SIGINT)
    assert gunicorn.process.wait(PATIENCE) == 0


def test_then_it_refuses_connections_and_finishes_what_is_in_flight(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn({**database.environment, "WEB_CONCURRENCY": "2"}).wait_until_started()
    with request_in_the_database(database, gunicorn) as answer:
        gunicorn.process.send_signal(signal.SIGTERM)
        gunicorn.wait_for_output(SHUT, times=2)
        with pytest.raises(ConnectionRefusedError):
            connect(gunicorn)
        assert not answer.done()
    assert answer.result() == 200
    assert gunicorn.process.wait(PATIENCE) == 0


def test_a_request_that_was_on_its_way_over_a_kept_connection_is_answered(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn(unchanged_database.environment).wait_until_started()
    worker = find_worker(gunicorn)
    with kept_connection(gunicorn) as kept:
        worker.suspend()
        kept.request("GET", "/livez")
        worker.terminate()
        worker.resume()
        # Which of the two the worker sees first, request or signal, is not ours to say.
        assert kept.getresponse().status == 200


def test_connections_that_nobody_accepted_yet_are_served(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn(unchanged_database.environment).wait_until_started()
    worker = find_worker(gunicorn)
    worker.suspend()
    clients = [connect(gunicorn) for _ in range(20)]
    for client in clients:
        client.sendall(REQUEST)
    worker.terminate()
    gunicorn.process.send_signal(signal.SIGTERM)
    worker.resume()
    for client in clients:
        answer = read_to_the_end(client)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in answer
    assert gunicorn.process.wait(PATIENCE) == 0


def test_an_answer_that_is_under_way_when_it_drains_says_that_it_closes(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn(database.environment).wait_until_started()
    client = connect(gunicorn)
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        client.sendall(REQUEST.replace(b"/livez", b"/orders/1"))
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(1,)])
        gunicorn.process.send_signal(signal.SIGTERM)
        gunicorn.wait_for_output("Draining: ")
    answer = read_to_the_end(client)
    assert b"\r\nConnection: close\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["o_orderkey"] == 1


def test_a_request_that_hangs_in_the_database_does_not_keep_a_worker_alive(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    # The master would end a silent worker itself after --timeout.
    hanging = {"GUNICORN_CMD_ARGS": "--timeout 100", "DB_COMMAND_TIMEOUT": "100", "SHUTDOWN_TIME": "4"}
    gunicorn = start_gunicorn({**database.environment, **hanging}).wait_until_started()
    with request_in_the_database(database, gunicorn):
        find_worker(gunicorn).terminate()
        gunicorn.wait_for_output(STARTED, times=2)


def test_what_is_in_flight_has_what_the_drain_leaves_of_the_time_to_shut_down(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    times = {"SHUTDOWN_TIME": "40", "DRAIN_DELAY": "0.5"}
    gunicorn = start_gunicorn({**unchanged_database.environment, **times}).wait_until_started()
    gunicorn.process.send_signal(signal.SIGTERM)
    # One second each for the master, for the worker to close, and for its loop to come round.
    gunicorn.wait_for_output(f"{SHUT}, 0 connections are left, for 36 s at most")
    assert gunicorn.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_what_can_end_ends_before_it_is_gone_and_nobody_waits_for_what_hangs(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    database.execute(SLOW)
    served = {"DEFAULT_POSTGRES_TABLE": "slow_orders", "SHUTDOWN_TIME": "20", "DRAIN_DELAY": "1"}
    patient = {"DB_COMMAND_TIMEOUT": "100", "REQUEST_TIMEOUT": "100"}
    gunicorn = start_gunicorn({**database.environment, **served, **patient}).wait_until_started()
    with ThreadPoolExecutor(3) as threads:
        hanging = threads.submit(requests.get, f"{gunicorn.url}/orders/60000", timeout=PATIENCE)
        finishing = threads.submit(requests.get, f"{gunicorn.url}/orders/59975", timeout=PATIENCE)
        gunicorn.wait_until(lambda: database.execute(SLEEPING) == [(2,)])
        url = f"{gunicorn.url}/orders/export?format=ndjson&fields=o_orderkey"
        with requests.get(url, stream=True, timeout=PATIENCE) as export:
            gunicorn.process.send_signal(signal.SIGTERM)
            assert json.loads(export.text.splitlines()[-1])["next_cursor"] < 60_000
        assert finishing.result().json()["o_orderkey"] == 59_975
        assert gunicorn.process.wait(PATIENCE) == 0
        with pytest.raises(requests.ConnectionError):
            hanging.result()
    # The worker left by itself, and so could write what was left.
    assert "SIGKILL" not in gunicorn.output


def test_a_sigterm_that_comes_while_a_worker_starts_is_not_lost(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter, tmp_path: Path
) -> None:
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text(CONFIGURATION.format(path=str(ROOT / "gunicorn.conf.py")))
    arguments = {"GUNICORN_CMD_ARGS": f"--config {configuration}"}
    gunicorn = start_gunicorn({**unchanged_database.environment, **arguments}).wait_until_started()
    gunicorn.wait_for_output("Booting worker", times=2)
    assert gunicorn.get("/livez").status_code == 200


def test_a_worker_that_was_killed_is_replaced(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn(unchanged_database.environment).wait_until_started()
    find_worker(gunicorn).kill()
    gunicorn.wait_for_output(STARTED, times=2)
    assert gunicorn.get("/orders/1").status_code == 200
