"""The cases: what is asked of which services, and what the product should reach."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.comparison import BOTH_CPU, CPU, MEMORY, P99, RATE, SHARE, TIME, Bound, Measurement
from benchmarks.services import Running
from benchmarks.workbench import Workbench

CONNECTIONS = 8
PRODUCT, FLOOR, USUAL = "product", "floor", "usual stack"
# The product on a table of its own: reads take the table as it is.
DIRECT = "product, direct"
ALL = (PRODUCT, FLOOR, USUAL)
STATUSES = "FOP"
LOGGED_REQUEST = re.compile(r"\[(\d+)\] \[[^]]*\] [\w.]+: Request: ")
# Pages as people turn them; far ones cost the usual stack still more.
PAGES = 100

Measure = Callable[[Workbench, str], Measurement]


@dataclass(frozen=True)
class Case:
    """Something measured in each round, and bounds for the first of its services."""

    name: str
    measure: Measure
    services: tuple[str, ...]
    bounds: tuple[Bound, ...] = ()


def read_orders(bench: Workbench, name: str, connections: int = CONNECTIONS) -> Measurement:
    """One order by a random key."""
    paths = [f"/orders/{key}" for key in bench.keys]
    return bench.put_load(bench.get(name), paths, connections=connections)


def stream(bench: Workbench, name: str, size: int) -> Measurement:
    """So many orders after a random key."""
    paths = [f"/orders/stream?cursor={key}&page_size={size}" for key in bench.keys]
    return bench.put_load(bench.get(name), paths, connections=CONNECTIONS)


def read_pages(bench: Workbench, name: str) -> Measurement:
    """100 orders by the number of the page, with the count of all."""
    paths = [f"/orders/pages?page={key % PAGES + 1}" for key in bench.keys]
    return bench.put_load(bench.get(name), paths, connections=CONNECTIONS)


def update(bench: Workbench, name: str) -> Measurement:
    """The status of a random order, always to another one than it has."""
    paths = [f"/orders/{key}/status" for key in bench.keys]
    first = bench.next_number() % len(STATUSES)
    statuses = STATUSES[first:] + STATUSES[:first]
    bodies = [f'{{"o_orderstatus": "{status}"}}' for status in statuses]
    return bench.put_load(bench.get(name), paths, bodies=bodies, connections=CONNECTIONS)


def ask_for_nothing(bench: Workbench, name: str) -> Measurement:
    """Keys without an order: TPC-H leaves 24 of every 32 out."""
    paths = [f"/orders/{key // 32 * 32 + 31}" for key in bench.keys]
    return bench.put_load(bench.get(name), paths, connections=CONNECTIONS, refused=True)


def ask_for_nonsense(bench: Workbench, name: str) -> Measurement:
    """A page of no size."""
    paths = [f"/orders/stream?cursor={key}&page_size=0" for key in bench.keys]
    return bench.put_load(bench.get(name), paths, connections=CONNECTIONS, refused=True)


def hold_crowd(bench: Workbench, name: str) -> Measurement:
    """A fresh process under 128 connections: what it holds, and who of its workers answers."""
    with bench.start(name) as service:
        paths = [f"/orders/{key}" for key in bench.keys]
        pages = [f"/orders/stream?cursor={key}&page_size=1000" for key in bench.keys]
        measured = bench.put_load(service, paths, connections=128)
        share = _busiest_share(service)
        after = bench.put_load(service, pages, connections=CONNECTIONS)
        return replace(
            measured, memory=after.memory, share=share, failures=measured.failures + after.failures
        )


def _busiest_share(service: Running) -> float:
    """Read from the service's own log: each line of a request has the worker's process id."""
    answered = Counter(LOGGED_REQUEST.findall(service.log_path.read_text()))
    return max(answered.values()) / answered.total() if answered else float("nan")


def begin(bench: Workbench, name: str) -> Measurement:
    """From the start of the process until it has answered with an order."""
    began = time.monotonic()
    with bench.start(name) as service:
        return Measurement(p50=time.monotonic() - began, cpu=service.used_cpu(), memory=service.memory())


CASES = [
    Case(
        "order by key",
        read_orders,
        ALL,
        (Bound(CPU, USUAL, at_most=0.36), Bound(RATE, USUAL, at_least=3), Bound(CPU, FLOOR, at_most=2.2)),
    ),
    Case(
        "stream, 100 rows",
        partial(stream, size=100),
        ALL,
        (Bound(BOTH_CPU, USUAL, at_most=0.23), Bound(BOTH_CPU, FLOOR, at_most=2.0)),
    ),
    Case(
        "stream, 1,000 rows",
        partial(stream, size=1000),
        ALL,
        (
            Bound(BOTH_CPU, USUAL, at_most=0.13),
            Bound(RATE, USUAL, at_least=9),
            Bound(BOTH_CPU, FLOOR, at_most=1.2),
        ),
    ),
    Case("pages with count", read_pages, (PRODUCT, USUAL), (Bound(RATE, USUAL, at_least=50),)),
    Case(
        "status update, direct",
        update,
        (DIRECT, FLOOR, USUAL),
        (Bound(CPU, USUAL, at_most=0.24), Bound(CPU, FLOOR, at_most=2.2)),
    ),
    Case("status update, overlay", update, (PRODUCT, USUAL)),
    # What it costs to show 100,000 changes that are kept beside the table, of its 1.5 million orders.
    Case(
        "order by key, changes shown", read_orders, (PRODUCT, DIRECT), (Bound(BOTH_CPU, DIRECT, at_most=1.1),)
    ),
    Case(
        "stream, 100 rows, changes shown",
        partial(stream, size=100),
        (PRODUCT, DIRECT),
        (Bound(BOTH_CPU, DIRECT, at_most=1.15),),
    ),
    Case("404", ask_for_nothing, (PRODUCT, USUAL), (Bound(CPU, USUAL, at_most=0.5),)),
    Case("422", ask_for_nonsense, (PRODUCT, USUAL), (Bound(CPU, USUAL, at_most=0.5),)),
    Case(
        "order by key, 32 connections",
        partial(read_orders, connections=32),
        ALL,
        (Bound(P99, USUAL, at_most=0.3), Bound(P99, FLOOR, at_most=2.2)),
    ),
    Case(
        "two workers, 128 connections",
        hold_crowd,
        ("product, 2 workers", USUAL),
        (Bound(MEMORY, USUAL, at_most=1.0), Bound(SHARE, None, at_most=0.65)),
    ),
    Case("start to first answer", begin, ALL, (Bound(TIME, USUAL, at_most=0.7),)),
]
