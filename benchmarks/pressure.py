"""What becomes of requests when there are too many, they take too long, or the server has no room."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks.arrivals import arrive
from benchmarks.harness import (
    ORDER,
    Figure,
    failed,
    last_failure_after,
    other_failures,
    percentile,
    probing,
    reading,
    sent_between,
    serve,
    slowest,
    start,
)
from tests.lakebase_stand_in import DATABASE, LakebaseStandIn
from tests.load import OK, Load, Sample

# All times are in seconds.
QUERY = 0.05
POOL = 10
QUEUE = 40
CAPACITY = POOL / QUERY
# One worker, so that its pool is what gives out and not the machine.
ONE_WORKER = {
    "WEB_CONCURRENCY": "1",
    "DB_POOL_SIZE": str(POOL),
    "DB_MAX_OVERFLOW": "0",
    "DB_POOL_MAX_WAITING": str(QUEUE),
}
OVERLOAD, RELIEF = 30.0, 8.0
# The whole queue before it, and half as much again.
ADMITTED_BOUND = 1.5 * (QUEUE + POOL) / CAPACITY
REJECT_BOUND = 0.05
PROBE_BOUND = 0.1
DEADLINE = 0.5
STATEMENT = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lakebase-orders-api' AND state = 'active'
"""


def overload(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Requests come at twice the rate that the pool can serve, for half a minute, and then at half of it."""
    with serve(lakebase, **ONE_WORKER) as gunicorn:
        lakebase.proxy.slow(QUERY)
        with reading(gunicorn, 2 * POOL) as load:
            time.sleep(6)
        peak = _goodput(load.samples[2 * POOL :], load.samples[0].sent + 1, load.samples[0].sent + 6)
        with probing(gunicorn) as probes:
            began = time.monotonic()
            samples = arrive(gunicorn.port, ORDER, [(2 * CAPACITY, OVERLOAD), (CAPACITY / 2, RELIEF)])
    ended = began + OVERLOAD
    during = sent_between(samples, began, ended)
    goodput = _goodput(during, began, ended)
    yield Figure("peak", peak, "/s")
    yield Figure("served of twice the capacity, part of the peak", goodput / peak, at_least=0.85)
    rejected = [sample for sample in during if sample.outcome.startswith("503")]
    yield Figure("rejected", len(rejected))
    yield Figure("slowest reject but for 1 %", percentile(rejected, 0.99), "ms", at_most=REJECT_BOUND)
    yield Figure("slowest reject", slowest(rejected), "ms")
    admitted = [sample for sample in during if sample.outcome == OK]
    yield Figure("slowest admitted but for 1 %", percentile(admitted, 0.99), "ms", at_most=ADMITTED_BOUND)
    settled = last_failure_after(samples, ended)
    yield Figure("last reject after the load fell", settled, "s", at_most=2.0)
    kinds = other_failures(samples, "503")
    yield failed(kinds, "failures of another kind than 503")
    yield Figure("slowest probe", slowest(probes.samples), "ms", at_most=PROBE_BOUND)


def exceed_deadline(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Statements wait for a lock, each request has half a second; ten times."""
    answered, gone, statuses = [], [], []
    with serve(lakebase, WEB_CONCURRENCY="1", DB_POOL_SIZE="1", DB_MAX_OVERFLOW="0") as gunicorn:
        for _ in range(10):
            with _locked(lakebase):
                deadline = time.monotonic() + DEADLINE
                watching = threading.Thread(target=lambda: gone.append(_see_it_go(lakebase, deadline)))  # noqa: B023
                watching.start()
                answer = gunicorn.get("/orders/1", **{"X-Request-Timeout": str(DEADLINE)})
                answered.append(time.monotonic() - deadline)
                watching.join()
            statuses += [answer.status_code, gunicorn.get("/orders/1").status_code]
    yield Figure(
        "answered 504, and the next request 200", statuses.count(504) + statuses.count(200), at_least=20
    )
    yield Figure("slowest answer after its deadline", max(answered), "ms", at_most=0.25)
    yield Figure("statement gone after the deadline", max(gone), "ms", at_most=0.25)


def fill_server(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The server has no connection left for ten seconds; those that are open stay."""
    with start(lakebase, WEB_CONCURRENCY="1", DB_POOL_SIZE="1", DB_MAX_OVERFLOW="15") as gunicorn:
        with reading(gunicorn, 1) as load:
            load.wait_for_each(5)
        lakebase.proxy.too_many()
        before = lakebase.proxy.counts.turned_away
        with (
            probing(gunicorn) as probes,
            Load(gunicorn.port, lambda: ORDER, clients=16, pause=0.05, is_patient=True) as load,
        ):
            time.sleep(10)
        turned_away = lakebase.proxy.counts.turned_away - before
    served = [sample for sample in load.samples if sample.outcome == OK]
    kinds = other_failures(load.samples, "503")
    yield failed(kinds, "failures of another kind than 503")
    yield Figure("reads served by what is open", len(served), at_least=100)
    yield Figure("reads answered 503", len(load.samples) - len(served))
    yield Figure("logins turned away in 10 s", turned_away, at_most=40)
    yield Figure("slowest probe", slowest(probes.samples), "ms", at_most=PROBE_BOUND)


def _goodput(samples: list[Sample], begin: float, end: float) -> float:
    """Successes a second, by when they ended."""
    return sum(sample.outcome == OK and begin <= sample.ended < end for sample in samples) / (end - begin)


@contextmanager
def _locked(lakebase: LakebaseStandIn) -> Iterator[None]:
    """Nobody else can read the orders meanwhile."""
    with psycopg.connect(lakebase.server.conninfo(DATABASE)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        yield
        holder.rollback()


def _see_it_go(lakebase: LakebaseStandIn, deadline: float) -> float:
    """Seconds from the deadline until the server runs no statement of the service any more."""
    with psycopg.connect(lakebase.server.conninfo(DATABASE), autocommit=True) as observer:
        time.sleep(DEADLINE / 2)
        while observer.execute(STATEMENT).fetchone() != (0,):
            time.sleep(0.005)
    return time.monotonic() - deadline
