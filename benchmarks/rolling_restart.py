"""Two instances behind a proxy, set up as docs/ says, under load: one after the other restarts, or is killed.

`python -m benchmarks.rolling_restart` prints the figures and exits with 1 when a bound is missed. It needs
nginx and HAProxy, and says which one it goes without.
"""

import itertools
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.harness import POOL, Figure, answers, failed, open_lakebase, slowest, wait_until
from lakebase_api.local.ports import free_port
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import OK, Load, get
from tests.reverse_proxies import NAMES, find_program, open_proxy
from tests.waiting import PATIENCE

READERS, CHANGERS = 12, 4
ROUNDS = 2
# Changes that may have no answer each time one is killed: those under way, and as many that its listener
# still takes before the last of its processes is gone.
MAY_BE_LOST = 2 * CHANGERS
# Seconds of load before, between and after what happens to an instance.
STEADY = 2.0
# Seconds for which an instance that was killed is not there.
AWAY = 2.0
STOP_BOUND = 12.0
# The drain delay as it is by default: the tests' own is 0.
SETTINGS = {"WEB_CONCURRENCY": "2", "LOG_LEVEL": "WARNING", "DRAIN_DELAY": "2", "FORWARDED_HOPS": "1", **POOL}
STATUSES = "FPO"
# What none of the statuses is at first, so that each change is one.
KEYS = "SELECT o_orderkey FROM orders_synced WHERE o_orderstatus = 'O' ORDER BY o_orderkey LIMIT 2000"
VERSIONS = """
SELECT count(*), count(*) - count(DISTINCT _request_id)
FROM lakebase_api.orders_history WHERE _request_id LIKE 'change-%'
"""


class Instance:
    """The service at a port of its own, which can be stopped or killed and started anew."""

    def __init__(self, environment: dict[str, str], stack: ExitStack) -> None:
        self.port = free_port()
        self._environment = environment
        self._stack = stack
        self._start()

    def restart(self) -> float:
        """Stop it, start it anew, wait until it is ready; the seconds that stopping took."""
        began = time.monotonic()
        self._gunicorn.process.send_signal(signal.SIGTERM)
        self._gunicorn.process.wait(PATIENCE)
        took = time.monotonic() - began
        self._start()
        return took

    def kill(self) -> float:
        """End all its processes at once; it comes back after a while. Gives the seconds it was not there."""
        began = time.monotonic()
        master = psutil.Process(self._gunicorn.process.pid)
        # Without the master first, it would replace them.
        for process in (master, *master.children()):
            process.kill()
        self._gunicorn.process.wait(PATIENCE)
        time.sleep(AWAY)
        self._start()
        return time.monotonic() - began

    def _start(self) -> None:
        self._gunicorn = self._stack.enter_context(GunicornProcess(self._environment, self.port))
        wait_until(lambda: answers(self._gunicorn, "/readyz"))


def restart_each(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Two instances behind each proxy are restarted one after the other, under reads and changes."""
    for name in NAMES:
        yield from _go_through(lakebase, name, Instance.restart, "slowest stop", may_lose=0)


def kill_each(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Two instances behind each proxy are killed one after the other, under reads and changes."""
    for name in NAMES:
        yield from _go_through(lakebase, name, Instance.kill, "longest away", may_lose=MAY_BE_LOST)


def _go_through(
    lakebase: LakebaseStandIn, name: str, strike: Callable[[Instance], float], what: str, *, may_lose: int
) -> Iterator[Figure]:
    """What clients see of it; each time, ``may_lose`` changes may have no answer."""
    if not find_program(name):
        yield Figure(f"skipped: {name} is not installed", 0)
        return
    lakebase.execute("DROP SCHEMA IF EXISTS lakebase_api CASCADE")
    environment = {**lakebase.environment(), **SETTINGS}
    requests = _list_changes(lakebase)
    with ExitStack() as stack:
        instances = [Instance(environment, stack) for _ in range(2)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        proxy = stack.enter_context(open_proxy(name, [each.port for each in instances], folder))
        with (
            Load(proxy.port, lambda: get("/orders/1"), clients=READERS) as reading,
            Load(proxy.port, lambda: next(requests), clients=CHANGERS) as changing,
        ):
            reading.wait_for_each(10)
            changing.wait_for_each(10)
            took = []
            for instance in instances * ROUNDS:
                time.sleep(STEADY)
                took.append(strike(instance))
            time.sleep(STEADY)
    [(made, twice)] = lakebase.execute(VERSIONS)
    answered = sum(sample.outcome == OK for sample in changing.samples)
    lost = len(changing.samples) - answered
    yield Figure(f"{name}: reads", len(reading.samples))
    yield failed(reading.failures(), f"{name}: lost reads")
    yield Figure(f"{name}: changes", len(changing.samples))
    kinds = ", ".join(f"{count} × {kind}" for kind, count in changing.failures().items())
    shown = f"{name}: changes without an answer" + (f" ({kinds})" if kinds else "")
    yield Figure(shown, lost, at_most=may_lose * len(took))
    yield Figure(f"{name}: of these, made", int(str(made)) - answered, at_least=0, at_most=lost)
    yield Figure(f"{name}: changes made twice", int(str(twice)), at_most=0)
    yield Figure(f"{name}: slowest request", slowest(reading.samples + changing.samples), "ms")
    yield Figure(f"{name}: {what}", max(took), "s", at_most=None if may_lose else STOP_BOUND)


def _list_changes(lakebase: LakebaseStandIn) -> Iterator[bytes]:
    """Changes of one order after the other, each with an id of its own."""
    keys = [key for (key,) in lakebase.execute(KEYS)]
    wanted = ((key, status) for status in itertools.cycle(STATUSES) for key in keys)
    for number, (key, status) in enumerate(wanted):
        body = f'{{"o_orderstatus": "{status}"}}'
        head = f"POST /orders/{key}/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: change-{number}\r\n"
        yield f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def main() -> int:
    """Run both on a stand-in; returns the exit status."""
    with open_lakebase() as lakebase:
        figures = []
        for figure in itertools.chain(restart_each(lakebase), kill_each(lakebase)):
            print(figure, flush=True)
            figures.append(figure)
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
