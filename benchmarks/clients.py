"""More clients than the service keeps connections for, and clients that wait while it is told to stop."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil

from benchmarks.harness import PATIENCE, Figure, failed, probing, reading, serve, slowest
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import count_failures

CROWD = 10_000
WAITING = 32
REQUEST = b"HEAD /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Of the platform, from SIGTERM to SIGKILL, less some.
STOP_BOUND = 12.0
PROBE_BOUND = 0.1
GROWTH_BOUND = 40


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


def stop_stalled(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """SIGTERM, with the default drain delay, while the network to the database stalls under 32 clients."""
    with (
        serve(lakebase, DRAIN_DELAY="2", REQUEST_TIMEOUT="100", DB_COMMAND_TIMEOUT="100") as gunicorn,
        reading(gunicorn, WAITING) as load,
    ):
        load.wait_for_each(10)
        lakebase.proxy.stall()
        began = time.monotonic()
        gunicorn.process.send_signal(signal.SIGTERM)
        status = gunicorn.process.wait(PATIENCE)
        took = time.monotonic() - began
    yield Figure("time until it is gone", took, "s", at_most=STOP_BOUND)
    yield Figure("exit status", status, at_most=0, at_least=0)


def find_workers(gunicorn: GunicornProcess) -> list[psutil.Process]:
    """Its worker processes."""
    return psutil.Process(gunicorn.process.pid).children()


def measure_memory(gunicorn: GunicornProcess) -> float:
    """What the workers hold, in MB."""
    return float(sum(worker.memory_info().rss for worker in find_workers(gunicorn))) / 1e6
