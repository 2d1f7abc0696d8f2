"""Exports by the real server process: clients that leave or take their time, and a service that stops."""

import http.client
import json
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from tests.conftest import OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.gunicorn_process import GunicornProcess
from tests.orders.test_export_walk import make_slow
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

Starter = Callable[[dict[str, str]], GunicornProcess]

NAME = {"PGAPPNAME": "exporting"}
COPYING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'exporting' AND state = 'active'
AND query LIKE '%COPY%'
"""
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'exporting' AND query ~ 'COPY'
"""
# More than all buffers between the service and a client hold.
LARGE = """
INSERT INTO orders_synced (o_orderkey, o_comment)
SELECT number, repeat('large ', 5000) FROM generate_series(100001, 102000) AS number
"""


@contextmanager
def ask(gunicorn: GunicornProcess, path: str) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request, whose head has come."""
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", path)
        yield connection.getresponse()


def send(gunicorn: GunicornProcess, path: str) -> socket.socket:
    """A connection that has asked, and of which nothing was read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", gunicorn.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_goes_away_cancels_the_query(
    database: OrdersDatabase, start_gunicorn: Starter, way: str
) -> None:
    # A single order keeps the query busy for longer than the test may take.
    environment = {**make_slow(database, 1000), **NAME}
    before = len(database.server.log_path.read_bytes())
    gunicorn = start_gunicorn(environment).wait_until_started()
    client = send(gunicorn, "/orders/export?cursor=7")
    gunicorn.wait_until(lambda: database.execute(COPYING) == [(1,)])
    if way == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    gunicorn.wait_until(lambda: database.execute(SESSIONS) == [(0,)])
    # A chunk may take 5 s, after which the server ends it by itself.
    assert b"canceling statement due to user request" in database.server.log_path.read_bytes()[before:]
    gunicorn.wait_for_output("Export: 0 rows")
    gunicorn.wait_for_output("the client is gone")
    assert gunicorn.get("/livez").status_code == 200


def test_a_slow_client_keeps_nobody_from_truncating_the_table(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    database.execute(LARGE)
    gunicorn = start_gunicorn({**database.environment, **NAME}).wait_until_started()
    with (
        closing(send(gunicorn, "/orders/export")) as client,
        psycopg.connect(database.server.conninfo(database.name), autocommit=True) as sync,
    ):
        assert client.recv(1) == b"H"
        sync.execute("SET lock_timeout = '30s'")
        for _ in range(3):
            sync.execute("BEGIN; LOCK TABLE orders_synced; ROLLBACK")
        sync.execute("TRUNCATE orders_synced")
        # There is no more to tell of the table, which is no fault.
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received = received[-5:] + client.recv(65536)
    gunicorn.wait_for_output(": complete")


def test_a_client_that_takes_nothing_is_left_when_its_time_is_up(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    database.execute(LARGE)
    environment = {**database.environment, **NAME, "CLIENT_TIMEOUT": "2"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    with closing(send(gunicorn, "/orders/export")) as client:
        assert client.recv(1) == b"H"
        gunicorn.wait_for_output("the client is gone")
    gunicorn.wait_until(lambda: database.execute(SESSIONS) == [(0,)])


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_service_that_stops_ends_its_exports_with_the_cursor(
    database: OrdersDatabase, start_gunicorn: Starter, form: str
) -> None:
    gunicorn = start_gunicorn(make_slow(database, 0.0003, last=60_000)).wait_until_started()
    with ask(gunicorn, f"/orders/export?format={form}&fields=o_orderkey&header=false") as answer:
        assert answer.status == 200
        gunicorn.process.send_signal(signal.SIGTERM)
        lines = answer.read().splitlines()
    assert 0 < len(lines) < 15_000
    if form == "ndjson":
        cursor = json.loads(lines[-1])["next_cursor"]
        assert json.loads(lines[-2])["o_orderkey"] <= cursor < 60_000
    gunicorn.wait_for_output("the service stops")
    assert gunicorn.process.wait(PATIENCE) == 0


def test_an_export_that_cannot_go_on_does_not_look_whole(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    with FaultProxy(database.server.port) as proxy:
        environment = {
            **make_slow(database, 0.0003, last=60_000),
            "PGPORT": str(proxy.port),
            "WAKE_BUDGET": "0",
        }
        gunicorn = start_gunicorn(environment).wait_until_started()
        with ask(gunicorn, "/orders/export") as answer:
            assert answer.status == 200
            proxy.refuse()
            proxy.cut()
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        gunicorn.wait_for_output(": a fault")
        assert "Traceback" not in gunicorn.output
        proxy.heal()


def test_the_first_rows_are_sent_before_the_others_are_fetched(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    environment = {**make_slow(database, 0.0003, last=32_000), **NAME}
    gunicorn = start_gunicorn(environment).wait_until_started()
    # All of it together is little enough to be held back.
    with ask(gunicorn, "/orders/export?header=false&fields=o_orderkey") as answer:
        assert answer.readline() == b"1\n"
        assert database.execute(SESSIONS) == [(1,)]
        assert "Export: " not in gunicorn.output
