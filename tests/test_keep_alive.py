"""The real server process and clients that keep their connection."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.waiting import PATIENCE

ASK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
# One thread of a quarter of these may keep a client that asks again at once.
THREADS = {"WEB_THREADS": "4"}
# More than the threads: each that is lost would be missed.
MANY = 20
# Longer than a thread waits for a client.
PAUSE = 0.05


@pytest.fixture(scope="module")
def gunicorn(unchanged_database: OrdersDatabase) -> Iterator[GunicornProcess]:
    with GunicornProcess({**unchanged_database.environment, **THREADS}) as gunicorn:
        yield gunicorn.wait_until_started()


def connect(gunicorn: GunicornProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE)


def read_answers(client: socket.socket, count: int) -> None:
    """Take so many answers of 200."""
    received = b""
    while received.count(b'{"status":"alive"}') < count:
        data = client.recv(65536)
        assert data, received
        received += data
    assert received.count(b"HTTP/1.1 200 OK\r\n") == count


def test_a_client_may_ask_at_once_and_after_a_pause_and_in_pieces(gunicorn: GunicornProcess) -> None:
    with connect(gunicorn) as client:
        for pause in [0.0] * MANY + [PAUSE] * 2 + [0.0] * MANY:
            time.sleep(pause)
            client.sendall(ASK)
            read_answers(client, 1)
        for pause in (0.0, PAUSE):
            client.sendall(ASK[:20])
            time.sleep(pause)
            client.sendall(ASK[20:])
            read_answers(client, 1)


def test_requests_sent_ahead_are_answered_in_order_wherever_they_are_cut(gunicorn: GunicornProcess) -> None:
    several = ASK * MANY
    with connect(gunicorn) as client:
        for cut in (0, 5, len(ASK), len(ASK) + 1, len(several) - 1):
            client.sendall(several[:cut])
            time.sleep(0.002)
            client.sendall(several[cut:])
            read_answers(client, MANY)


@pytest.mark.parametrize("is_reset", [False, True], ids=["closing", "resetting"])
def test_clients_that_leave_after_asking_quickly_hold_no_thread(
    gunicorn: GunicornProcess, is_reset: bool
) -> None:
    for _ in range(MANY):
        with connect(gunicorn) as client:
            for _ in range(3):
                client.sendall(ASK)
                read_answers(client, 1)
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert gunicorn.get("/livez").status_code == 200


def test_quick_clients_leave_threads_to_all_others(gunicorn: GunicornProcess) -> None:
    quick = [connect(gunicorn) for _ in range(MANY)]
    for _ in range(5):
        for client in quick:
            client.sendall(ASK)
        for client in quick:
            read_answers(client, 1)
    for client in quick:
        client.close()
    assert gunicorn.get("/livez").status_code == 200
