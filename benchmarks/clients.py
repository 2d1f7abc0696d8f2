"""Clients that are many, slow to send, or do not read; and clients that wait while it is told to stop."""

import http.client
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import psutil

from benchmarks.harness import PATIENCE, Figure, failed, probing, reading, serve, slowest, wait_until
from lakebase_api.settings import Settings
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import count_failures

CROWD = 10_000
WAITING = 32
REQUEST = b"HEAD /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Cloud Run kills 10 s after SIGTERM. https://cloud.google.com/run/docs/container-contract#instance-shutdown
SOONER = 9
PROBE_BOUND = 0.1
GROWTH_BOUND = 40
# All times are in seconds. More clients than both workers have threads.
SLOW, NOT_READING = 200, 500
SENDING_TIMEOUT = 3.0
FILE = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ATTACK, RETURN = 30.0, 14.0
PROBE_PATIENCE = 3.0


def crowd(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """10,000 clients have had an answer and keep their connections."""
    with serve(lakebase) as gunicorn, ExitStack() as stack:
        before = measure_memory(gunicorn)
        with probing(gunicorn) as probes:
            for _ in range(CROWD):
                client = socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE)
                stack.callback(client.close)
                client.sendall(REQUEST)
                client.recv(len(REQUEST))
            probes.wait_for_each(10)
        yield failed(count_failures(probes.samples), "failed new clients")
        yield Figure("slowest new client", slowest(probes.samples), "ms", at_most=PROBE_BOUND)
        yield Figure("growth of all workers", measure_memory(gunicorn) - before, "MB", at_most=GROWTH_BOUND)


def send_slowly(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """200 clients send a byte of a request each half second, when a request may take three seconds."""
    with serve(lakebase, CLIENT_TIMEOUT=f"{SENDING_TIMEOUT:g}") as gunicorn, ExitStack() as stack:
        clients = [_connect(gunicorn, stack) for _ in range(SLOW)]
        began = time.monotonic()
        honest = threading.Thread(target=gunicorn.get, args=("/orders/1",))
        for number, byte in enumerate(REQUEST):
            for client in clients:
                with suppress(OSError):  # cut, as it should be
                    client.send(bytes([byte]))
            if number == 1:
                honest.start()
            elif number > 1 and not honest.is_alive():
                break
            time.sleep(0.5)
        honest.join()
    yield Figure(
        "an honest client is served after", time.monotonic() - began, "s", at_most=4 * SENDING_TIMEOUT
    )


def read_nothing(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """500 clients ask for a file of 1.7 MB and read nothing, each again after 14 s, for half a minute."""
    with serve(lakebase) as gunicorn:
        outcomes: list[bool] = []
        with ExitStack() as held:
            ended = time.monotonic() + ATTACK
            due = [time.monotonic() + RETURN * number / NOT_READING for number in range(NOT_READING)]
            clients = [_ask_and_not_read(gunicorn, held) for _ in due]
            while (now := time.monotonic()) < ended:
                for number, moment in enumerate(due):
                    if moment <= now:
                        clients[number].close()
                        clients[number], due[number] = _ask_and_not_read(gunicorn, held), now + RETURN
                outcomes.append(_is_live(gunicorn))
                time.sleep(0.2)
        after = wait_until(lambda: _is_live(gunicorn))
    yield Figure("probes, a new connection each", len(outcomes))
    yield Figure(f"answered within {PROBE_PATIENCE:g} s, part of them", sum(outcomes) / len(outcomes))
    yield Figure("first probe answered after they are gone", after, "s", at_most=1.0)


def stop_stalled(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """SIGTERM, with the times of the defaults, while the network to the database stalls under 32 clients."""
    yield from _stop_stalled(lakebase, Settings.shutdown_time)


def stop_stalled_sooner(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The same where the platform kills after 10 s: SHUTDOWN_TIME=9."""
    yield from _stop_stalled(lakebase, SOONER)


def _stop_stalled(lakebase: LakebaseStandIn, shutdown_time: int) -> Iterator[Figure]:
    times = {"DRAIN_DELAY": "2", "SHUTDOWN_TIME": str(shutdown_time)}
    with (
        serve(lakebase, REQUEST_TIMEOUT="100", DB_COMMAND_TIMEOUT="100", **times) as gunicorn,
        reading(gunicorn, WAITING) as load,
    ):
        load.wait_for_each(10)
        lakebase.proxy.stall()
        began = time.monotonic()
        gunicorn.process.send_signal(signal.SIGTERM)
        status = gunicorn.process.wait(PATIENCE)
        took = time.monotonic() - began
    yield Figure("time until it is gone", took, "s", at_most=shutdown_time)
    yield Figure("exit status", status, at_most=0, at_least=0)


def _connect(gunicorn: GunicornProcess, stack: ExitStack) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE)
    stack.callback(client.close)
    return client


def _ask_and_not_read(gunicorn: GunicornProcess, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    # As on a network: on loopback a file would fit into the buffers.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    # Closed without a goodbye: nothing of it is left at the server.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", gunicorn.port))
    client.sendall(FILE)
    return client


def _is_live(gunicorn: GunicornProcess) -> bool:
    probe = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=PROBE_PATIENCE)
    with closing(probe), suppress(OSError):
        probe.request("GET", "/livez")
        return probe.getresponse().status == http.client.OK
    return False


def find_workers(gunicorn: GunicornProcess) -> list[psutil.Process]:
    """Its worker processes."""
    return psutil.Process(gunicorn.process.pid).children()


def measure_memory(gunicorn: GunicornProcess) -> float:
    """What the workers hold, in MB."""
    return float(sum(worker.memory_info().rss for worker in find_workers(gunicorn))) / 1e6
