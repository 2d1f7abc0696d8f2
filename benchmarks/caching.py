"""What answers from memory cost: `python -m benchmarks.caching`, beside the same reads from the database.

Each read is asked for again and again by some connections, of a service that keeps nothing, of one with the
settings of the start, and of one with a TTL. Then a dashboard's lists are, while a sync commits now and then
to another table. Exits with 1 when a bound is missed.
"""

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
import requests

from benchmarks.comparison import BOTH_CPU, Measurement, summarize
from benchmarks.lists import indexes
from benchmarks.report import describe_machine
from benchmarks.services import PATIENCE, Running
from benchmarks.workbench import Workbench, open_workbench
from lakebase_api.local.tpch import parse_scale

READ, MEMORY, TTL = "product", "product, from memory", "product, from memory for 5 s"
# Reads, how many connections ask at once, and the most that memory may cost where reading costs 1: with a
# look at the database for each, or for all that wait, and without one.
CASES = [
    ("/orders/stream?page_size=1000", 1, 0.25, 0.25),
    ("/orders/stream?page_size=1000", 32, 0.25, 0.25),
    ("/orders/stream?page_size=100", 1, 0.65, 0.33),
    ("/orders/stream?page_size=100", 32, 0.33, 0.33),
    ("/orders/1", 8, 1.05, 1.05),
]
DASHBOARD = [
    "/orders/stream?sort=-o_totalprice&page_size=20",
    "/orders/stream?o_orderstatus=F&page_size=50",
    "/orders/stream?sort=-o_orderdate,o_orderkey&o_orderdate_from=1998-01-01",
    "/orders/pages?page_size=100&include_count=false",
    "/orders/stream?page_size=100",
    *(f"/orders/stream?o_custkey={key}&page_size=20" for key in range(1, 100, 7)),
]
# Seconds between two commits of the sync.
SYNCS = [0.02, 0.2, 1.0, 5.0]


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.caching", description=__doc__)
    parser.add_argument("--scale", default="0.1", help="TPC-H scale factor; 1 is 1,500,000 orders")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="of load on each (default 2)")
    options = parser.parse_args(arguments)
    with open_workbench(parse_scale(options.scale), options.seconds) as bench, indexes(bench):
        services = {name: bench.get(name) for name in (READ, MEMORY, TTL)}
        missed = [case for case in CASES if not compare(bench, services, options.rounds, *case)]
        print(f"\n{len(DASHBOARD)} lists of a dashboard, 8 connections, while a sync commits every")
        for pause in SYNCS:
            replay(bench, services, pause)
    print(f"{describe_machine()}, {options.rounds} rounds of {options.seconds} s.")
    return 1 if missed else 0


def compare(
    bench: Workbench,
    services: Mapping[str, Running],
    rounds: int,
    path: str,
    connections: int,
    most: float,
    most_with_ttl: float,
) -> bool:
    """Print what a read costs of each service; whether it is within the bounds."""
    measured: dict[str, list[Measurement]] = {name: [] for name in services}
    for number in range(-1, rounds):
        for name, service in services.items():
            found = bench.put_load(service, [path], connections=connections)
            if number >= 0:  # the one before warms up
                measured[name].append(found)
    costs = {name: BOTH_CPU.of(summarize(found)) for name, found in measured.items()}
    ratios = costs[MEMORY] / costs[READ], costs[TTL] / costs[READ]
    is_met = ratios[0] <= most and ratios[1] <= most_with_ttl
    print(
        f"{path:<34} {connections:>2} connections  {costs[READ] * 1000:6.2f} ms  "
        f"from memory {ratios[0]:4.2f}x  with a TTL {ratios[1]:4.2f}x  {'' if is_met else 'missed'}",
        flush=True,
    )
    return is_met


def replay(bench: Workbench, services: Mapping[str, Running], pause: float) -> None:
    """Print how many of a dashboard's lists come from memory, and what they cost, beside a sync."""
    costs, shares = {}, {}
    with syncing(bench, pause):
        for name, service in services.items():
            bench.put_load(service, DASHBOARD, connections=8)
            costs[name] = BOTH_CPU.of(bench.put_load(service, DASHBOARD, connections=8))
            shares[name] = ask_share(service)
    told = ", ".join(
        f"{name.removeprefix('product, ')} {shares[name]:.0%} at {costs[name] / costs[READ]:4.2f}x"
        for name in (MEMORY, TTL)
    )
    print(f"  {pause:4.2f} s: {told}", flush=True)


def ask_share(service: Running) -> float:
    """The share of the dashboard's lists that come from memory, asked for one after another."""
    told = [
        requests.get(service.url + path, timeout=PATIENCE).headers.get("Cache-Status", "")
        for _ in range(20)
        for path in DASHBOARD
    ]
    return sum("hit" in status or "fwd-status=304" in status for status in told) / len(told)


@contextmanager
def syncing(bench: Workbench, pause: float) -> Iterator[None]:
    """Have something committed every so many seconds, to a table that no list shows."""
    done = threading.Event()

    def sync() -> None:
        with psycopg.connect(bench.conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS synced_elsewhere (at timestamptz)")
            while not done.wait(pause):
                connection.execute("INSERT INTO synced_elsewhere VALUES (now())")
            connection.execute("DROP TABLE synced_elsewhere")

    thread = threading.Thread(target=sync, name="sync")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
