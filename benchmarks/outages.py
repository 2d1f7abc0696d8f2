"""What becomes of requests when connections die, the database is away, or the network stalls."""

import time
from collections.abc import Callable, Iterator

from benchmarks.harness import (
    ORDER,
    Figure,
    failed,
    first_success_after,
    last_failure_after,
    other_failures,
    probing,
    reading,
    sent_between,
    serve,
    slowest,
)
from lakebase_api.lakebase.target import CONNECT_TIMEOUT
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import Load, get

KILL_ALL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'lakebase-orders-api'
"""
CLIENTS = 32
CROWD = 200
ROUNDS = 5
# All times are in seconds.
SHORT_OUTAGE = 3.0
LONG_OUTAGE = 60.0
# The wake budget, and some more.
BUDGET_IS_OVER = 12.0
STALL = 8.0
DEADLINE = 1.0
PROBE_BOUND = 0.1
RETURN_BOUND = 1.5


def kill(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The server ends every connection at once, as in a failover, five times."""
    yield from _break_connections(lakebase, lambda: lakebase.execute(KILL_ALL))


def cut(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The network resets every connection at once, as when compute suspends, five times."""
    yield from _break_connections(lakebase, lakebase.proxy.cut)


def refuse(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Connections are cut, and new ones refused for three seconds."""
    yield from _wake(lakebase, lakebase.proxy.refuse)


def start_up(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Connections are cut, and for three seconds the database says that it is starting up."""
    yield from _wake(lakebase, lakebase.proxy.starting_up)


def stay_away(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The database is away for a minute; 200 clients ask once a second and obey Retry-After, one asks on."""
    with (
        serve(lakebase) as gunicorn,
        probing(gunicorn) as probes,
        Load(gunicorn.port, lambda: ORDER, pause=0.1) as impatient,
        Load(gunicorn.port, lambda: ORDER, clients=CROWD, pause=1.0, is_patient=True) as load,
    ):
        time.sleep(2)
        began = _begin_outage(lakebase, lakebase.proxy.refuse)
        time.sleep(LONG_OUTAGE)
        lakebase.proxy.heal()
        healed = time.monotonic()
        time.sleep(5)
    samples = load.samples + impatient.samples
    refused = sent_between(samples, began + BUDGET_IS_OVER, healed - 1)
    returned = first_success_after(samples, healed)
    settled = last_failure_after(samples, healed)
    yield Figure("slowest refusal after the wake budget", slowest(refused), "ms", at_most=PROBE_BOUND)
    yield Figure("first success after the return", returned, "s", at_most=RETURN_BOUND)
    yield Figure("last refusal after the return", settled, "s", at_most=RETURN_BOUND)
    yield failed(other_failures(samples, "503"), "failures of another kind than 503")
    yield Figure("slowest probe", slowest(probes.samples), "ms", at_most=PROBE_BOUND)


def stall(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Packets vanish for eight seconds and nothing is reset; each request has one second."""
    yield from _silence(lakebase, lakebase.proxy.stall)


def forget(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The open connections are silent for ever, new ones work; each request has one second."""
    yield from _silence(lakebase, lakebase.proxy.forget)


def _break_connections(lakebase: LakebaseStandIn, strike: Callable[[], object]) -> Iterator[Figure]:
    with serve(lakebase) as gunicorn, reading(gunicorn, CLIENTS) as load:
        time.sleep(1)
        for _ in range(ROUNDS):
            strike()
            time.sleep(1)
    yield Figure("reads", len(load.samples))
    yield failed(load.failures())
    yield Figure("slowest read", slowest(load.samples), "ms", at_most=1.0)


def _wake(lakebase: LakebaseStandIn, begin: Callable[[], None]) -> Iterator[Figure]:
    with serve(lakebase) as gunicorn, probing(gunicorn) as probes, reading(gunicorn, CLIENTS) as load:
        time.sleep(1)
        _begin_outage(lakebase, begin)
        time.sleep(SHORT_OUTAGE)
        lakebase.proxy.heal()
        healed = time.monotonic()
        time.sleep(2)
    yield failed(load.failures())
    returned = first_success_after(load.samples, healed)
    yield Figure("first success after the return", returned, "s", at_most=RETURN_BOUND)
    yield Figure("slowest read", slowest(load.samples), "s", at_most=SHORT_OUTAGE + RETURN_BOUND)
    yield Figure("slowest probe", slowest(probes.samples), "ms", at_most=PROBE_BOUND)


def _silence(lakebase: LakebaseStandIn, begin: Callable[[], None]) -> Iterator[Figure]:
    hurried = get("/orders/1", **{"X-Request-Timeout": str(DEADLINE)})
    with serve(lakebase) as gunicorn, probing(gunicorn) as probes:
        with Load(gunicorn.port, lambda: hurried, clients=CLIENTS) as load:
            time.sleep(1)
            begin()
            time.sleep(STALL)
            lakebase.proxy.heal()
            healed = time.monotonic()
            time.sleep(STALL)
        with reading(gunicorn, CLIENTS) as after:
            time.sleep(2)
    yield Figure("slowest answer, with a deadline of 1 s", slowest(load.samples), "s", at_most=DEADLINE + 0.5)
    yield failed(other_failures(load.samples, "504"), "failures of another kind than 504")
    settled = last_failure_after(load.samples, healed)
    yield Figure("last 504 after the return", settled, "s", at_most=DEADLINE + CONNECT_TIMEOUT)
    yield failed(after.failures(), "failed reads afterwards")
    yield Figure("slowest probe", slowest(probes.samples), "ms", at_most=PROBE_BOUND)


def _begin_outage(lakebase: LakebaseStandIn, begin: Callable[[], None]) -> float:
    """Take the database away; returns when, by ``time.monotonic()``."""
    began = time.monotonic()
    begin()
    lakebase.proxy.cut()
    return began
