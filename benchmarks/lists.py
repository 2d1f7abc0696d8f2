"""What filters and sorts cost: `python -m benchmarks.lists`, beside the plain page of as many orders.

Makes the indexes that `doctor` advises, and drops them again. Prints a line for each list, and exits with 1
when one takes more than 1.2 times the CPU of app and database that a plain page takes.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import requests

from benchmarks.comparison import BOTH_CPU, Measurement, summarize
from benchmarks.report import describe_machine
from benchmarks.services import PATIENCE
from benchmarks.workbench import Workbench, open_workbench
from lakebase_api.local.tpch import parse_scale

CONNECTIONS = 8
MOST = 1.2
PLAIN = "plain"
INDEXES = (
    "o_totalprice, o_orderkey",
    "o_orderdate, o_orderkey",
    "o_custkey, o_orderdate, o_orderkey",
    "o_clerk, o_totalprice, o_orderkey",
    "o_clerk, o_orderkey",
)
# So many pages of each list are asked for in turn: most have rows of 100 orders, all another place.
PAGES = 200


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--scale", default="1", help="TPC-H scale factor; 1 is 1,500,000 orders (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="of load on each list (default 2)")
    options = parser.parse_args(arguments)
    with open_workbench(parse_scale(options.scale), options.seconds) as bench, indexes(bench):
        asked = {PLAIN: [f"/orders/stream?cursor={key}" for key in bench.keys], **find_lists(bench)}
        measured = {name: list[Measurement]() for name in asked}
        for number in range(-1, options.rounds):
            for name, paths in asked.items():
                found = bench.put_load(bench.get("product"), paths, connections=CONNECTIONS)
                if number >= 0:  # the one before warms up
                    measured[name].append(found)
    missed = [line for name in asked if (line := report(measured, name)).endswith("missed")]
    print(f"{describe_machine()}, {options.rounds} rounds of {options.seconds} s.")
    return 1 if missed else 0


@contextmanager
def indexes(bench: Workbench) -> Iterator[None]:
    """Have the indexes for as long as the context lasts; what they cost a write is not measured here."""
    with psycopg.connect(bench.conninfo, autocommit=True) as connection:
        names = [f"lists_{number}" for number in range(len(INDEXES))]
        try:
            for name, columns in zip(names, INDEXES, strict=True):
                statement = f"CREATE INDEX IF NOT EXISTS {name} ON public.orders_synced ({columns})"
                connection.execute(statement.encode())
            connection.execute("VACUUM (ANALYZE) public.orders_synced")
            yield
        finally:
            for name in names:
                connection.execute(f"DROP INDEX public.{name}".encode())


def find_lists(bench: Workbench) -> dict[str, list[str]]:
    """The paths of pages of each list, where they can be from the middle of it."""
    choose = random.Random(1).randrange
    days = [f"199{choose(2, 8)}-0{choose(1, 10)}-{choose(10, 29)}" for _ in range(PAGES)]
    clerks = [f"Clerk%23{choose(1, 1001):09}" for _ in range(PAGES)]
    return {
        "by price": [
            follow(bench, "sort=-o_totalprice", f"&page={choose(1, 500)}&include_count=false")
            for _ in range(PAGES)
        ],
        "of a clerk, by price": [
            follow(bench, f"o_clerk={clerk}&sort=-o_totalprice", "&page=1&include_count=false")
            for clerk in clerks
        ],
        "of a clerk, by key": [
            f"/orders/stream?o_clerk={clerk}&cursor={choose(1, 5_000_000)}" for clerk in clerks
        ],
        "of a customer, by date": [
            f"/orders/stream?o_custkey={choose(1, 50_000) * 3 - 1}&sort=-o_orderdate" for _ in range(PAGES)
        ],
        "since a day, by date": [
            follow(bench, f"o_orderdate_from={day}&sort=o_orderdate", "&page=2&include_count=false")
            for day in days
        ],
    }


def follow(bench: Workbench, query: str, page: str) -> str:
    """The path of the page of ``/orders/stream`` that comes after a page by number."""
    answer = requests.get(f"{bench.get('product').url}/orders/pages?{query}{page}", timeout=PATIENCE)
    return f"/orders/stream?{query}&cursor={answer.json()['pagination']['next_cursor']}"


def report(measured: dict[str, list[Measurement]], name: str) -> str:
    """Print the line of a list, and give it back."""
    ratios = [
        BOTH_CPU.of(own) / BOTH_CPU.of(plain)
        for own, plain in zip(measured[name], measured[PLAIN], strict=True)
    ]
    ratio, found = statistics.median(ratios), summarize(measured[name])
    verdict = "" if ratio <= MOST and not found.failures else "missed"
    line = (
        f"{name:<24} {found.cpu * 1000:6.2f} + {found.database_cpu * 1000:5.2f} ms  {ratio:5.2f}x  {verdict}"
    )
    print(line, flush=True)
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
