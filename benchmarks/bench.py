"""`make bench`: what a request costs, beside the least it could cost and beside the usual stack.

Prints one table, writes JSON, and exits with 1 when a ratio is missed. `--only CASE` runs one case, `--list`
names them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import ALL, CASES, Case
from benchmarks.comparison import Measurement
from benchmarks.open_loop import LoadPoint, climb
from benchmarks.picture import draw_latency
from benchmarks.report import describe_machine, find_misses, format_table, write_json
from benchmarks.services import USUAL_PYTHON
from benchmarks.workbench import Workbench, open_workbench
from benchmarks.wrk import WrkMissing
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.tpch import parse_scale
from tests.load import get

LATENCY = "latency against load"


def main(arguments: Sequence[str]) -> int:
    """Run the cases; returns the exit status."""
    options = parse(arguments)
    cases = [case for case in CASES if not options.only or case.name in options.only]
    if options.list:
        print(*(case.name for case in cases), LATENCY, sep="\n")
        return 0
    if not USUAL_PYTHON.exists():
        print("The usual stack is not installed: make bench does it.", file=sys.stderr)
        return 1
    try:
        with open_workbench(parse_scale(options.scale), options.seconds) as bench:
            measured = run(bench, cases, options.rounds)
            loads = measure_latency(bench) if LATENCY in (options.only or [LATENCY]) else {}
    except (LocalFailure, WrkMissing) as failure:
        print(failure, file=sys.stderr)
        return 1
    write_json(options.json, measured, loads)
    if loads:
        draw_latency(options.picture, loads)
    misses = find_misses(measured)
    print(
        f"\n{format_table(measured)}\n\n{describe_machine()}, {options.rounds} rounds of {options.seconds} s."
    )
    print(*(f"Missed: {miss}" for miss in misses), sep="\n")
    return 1 if misses else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = [*(case.name for case in CASES), LATENCY]
    parser.add_argument("--only", action="append", choices=names, metavar="CASE")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="of load on each service (default 3)")
    parser.add_argument("--scale", default="1", help="TPC-H scale factor; 1 is 1,500,000 orders (default 1)")
    parser.add_argument("--json", type=Path, default=Path(".local/bench.json"), help="where the figures go")
    parser.add_argument("--picture", type=Path, default=Path(".local/latency.svg"), help="where it is drawn")
    return parser.parse_args(arguments)


def run(bench: Workbench, cases: Sequence[Case], rounds: int) -> dict[Case, dict[str, list[Measurement]]]:
    """Measure the cases in turn, so often; of each case the services in turn, another one first each time.

    What else the machine does then weighs on all of them alike.
    """
    measured = {case: {name: list[Measurement]() for name in case.services} for case in cases}
    for number in range(-1, rounds if cases else -1):
        for case in cases:
            first = number % len(case.services)
            for name in case.services[first:] + case.services[:first]:
                found = case.measure(bench, name)
                if number >= 0:  # the one before warms up: statements are prepared, caches full
                    measured[case][name].append(found)
        print("warmed up" if number < 0 else f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return measured


def measure_latency(bench: Workbench) -> dict[str, list[LoadPoint]]:
    """How latency grows with the load that is offered, for each of the three."""
    requests = [get(f"/orders/{key}") for key in bench.keys]
    loads = climb({name: bench.get(name).port for name in ALL}, requests, bench.seconds)
    for name, points in loads.items():
        for point in points:
            p50, p99 = point.p50 * 1000, point.p99 * 1000
            print(f"{name:<12} {point.rate:6.0f}/s p50 {p50:9.1f} ms p99 {p99:9.1f} ms", file=sys.stderr)
    return loads


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
