"""What an export costs: `python -m benchmarks.export --scale 1`, in units of 1.5 million orders.

Sets the service, asked with curl, beside `psql \\copy` of the same query in the same run: throughput, the
first byte, the memory of the service before and at most, and how long one order takes meanwhile. Exits with 1
when a bound is missed.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from benchmarks.harness import Figure
from benchmarks.services import PATIENCE, Running
from benchmarks.workbench import Workbench, open_workbench
from lakebase_api.local import tpch
from lakebase_api.local.binaries import find_binaries

TICK = 0.2
# By the name of the service, what it selects. Of one with changes every read looks for them.
SELECTS = {
    "product, direct": "SELECT t.* FROM public.orders_synced AS t ORDER BY t.o_orderkey",
    "product": """
        SELECT t.o_orderkey, t.o_custkey,
            CASE WHEN s._changed_o_orderstatus THEN s.o_orderstatus ELSE t.o_orderstatus END AS o_orderstatus,
            t.o_totalprice, t.o_orderdate, t.o_orderpriority, t.o_clerk, t.o_shippriority, t.o_comment
        FROM public.orders_synced AS t LEFT JOIN lakebase_api.orders_changes AS s
        ON s.o_orderkey = t.o_orderkey AND s._source = '"public"."orders_synced"'
        ORDER BY t.o_orderkey
    """,
}
COPIES = {
    "csv": "({select}) TO '/dev/null' (FORMAT csv)",
    "ndjson": r"(SELECT row_to_json(o) FROM ({select}) AS o) TO '/dev/null' "
    r"(FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')",
}


@dataclass
class Watched:
    """What was seen of a service meanwhile: its memory in megabytes, the seconds that one order took."""

    memory: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Measure at one scale; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--scale", default="1", help="TPC-H scale factor; 1 is 1,500,000 orders")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--service", choices=SELECTS, action="append", help="one of the services, not both")
    options = parser.parse_args(arguments)
    scale = tpch.parse_scale(options.scale)
    is_met = True
    with open_workbench(scale, seconds=0) as bench:
        for service in options.service or SELECTS:
            for form in COPIES:
                print(f"{tpch.expected_orders(scale):,} orders, {form}, {service}", flush=True)
                for figure in measure(bench, service, form, options.rounds):
                    print(f"  {figure}", flush=True)
                    is_met = is_met and figure.is_met
    return 0 if is_met else 1


def measure(bench: Workbench, service: str, form: str, rounds: int) -> Iterator[Figure]:
    """The figures of one service and format; the times of the first round are not counted."""
    ratios, speeds, firsts, others = [], [], [], []
    with bench.start(service) as running:
        held = most = running.memory()
        for number in range(rounds + 1):
            copied = copy(bench, service, form)
            with watch(running) as watched:
                exported, first, size = export(running, form)
            most = max(most, *watched.memory)
            if number:
                ratios.append(copied / exported)
                speeds.append(size / exported / 1e6)
                firsts.append(first)
                others += watched.seconds
    yield Figure("throughput, of psql \\copy", statistics.median(ratios), at_least=0.5)
    yield Figure("throughput", statistics.median(speeds), "MB/s")
    yield Figure("slowest first byte", max(firsts), "ms", at_most=0.3)
    yield Figure("growth of the service's memory", most - held, "MB", at_most=50)
    yield Figure("one order meanwhile, median", statistics.median(others), "ms")
    yield Figure("one order meanwhile, slowest", max(others), "ms")


def copy(bench: Workbench, service: str, form: str) -> float:
    """The seconds that psql takes."""
    select = " ".join(SELECTS[service].split())
    command = "\\copy " + COPIES[form].replace("{select}", select)
    began = time.monotonic()
    psql = find_binaries().folder / "psql"
    subprocess.run([psql, bench.conninfo, "-qc", command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def export(running: Running, form: str) -> tuple[float, float, int]:
    """The seconds that curl takes, those until its first byte, and the bytes. Raises if it is not whole."""
    url = f"{running.url}/orders/export?format={form}"
    shown = "%{time_total} %{time_starttransfer} %{size_download}"
    command = ["curl", "-sSf", "-o", "/dev/null", "-w", shown, url]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    total, first, size = run.stdout.split()
    return float(total), float(first), int(size)


@contextmanager
def watch(running: Running) -> Iterator[Watched]:
    """Look at the service for as long as the context lasts."""
    watched, ended = Watched(), threading.Event()

    def look() -> None:
        with requests.Session() as session:
            while True:
                watched.memory.append(running.memory())
                began = time.monotonic()
                session.get(f"{running.url}/orders/1", timeout=PATIENCE).raise_for_status()
                watched.seconds.append(time.monotonic() - began)
                if ended.wait(TICK):
                    return

    thread = threading.Thread(target=look, name="watch")
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
