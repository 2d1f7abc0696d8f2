"""How cost grows with the table: `python -m benchmarks.growth --scale 1`, in units of 1.5 million orders.

Prints a line for each operation: how long an answer took, and the database's CPU. For pages
also the CPU of the statement that an ORM writes, OFFSET over whole rows, in the same run. Samples are drawn
from tables with other keys, too.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import psycopg
import requests

from benchmarks.services import PATIENCE, start, used_cpu
from benchmarks.workbench import Workbench, open_workbench
from lakebase_api.local import tpch

REPEATS = 30
PAGE_SIZE = 100
OFFSET = "SELECT * FROM public.orders_synced ORDER BY o_orderkey OFFSET %s LIMIT 101"

# Keys that are drawn from beside those of TPC-H, made of them: in clumps far apart, and ever rarer.
OTHER_KEYS = {
    "keys in clumps": "o_orderkey + o_orderkey / 100000 * 1000000000000",
    "skewed keys": "(o_orderkey::float8 ^ 2.2)::bigint",
}
MAKE_KEYS = """
DROP TABLE IF EXISTS public.orders_growth;
CREATE UNLOGGED TABLE public.orders_growth AS SELECT {key} AS o_orderkey FROM public.orders_synced;
CREATE UNIQUE INDEX ON public.orders_growth (o_orderkey);
ANALYZE public.orders_growth;
GRANT SELECT ON public.orders_growth TO PUBLIC;
"""


def main(arguments: Sequence[str]) -> int:
    """Measure at one scale; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--scale", default="1", help="TPC-H scale factor; 1 is 1,500,000 orders")
    scale = tpch.parse_scale(parser.parse_args(arguments).scale)
    rows = tpch.expected_orders(scale)
    with open_workbench(scale, seconds=0) as bench:
        for line in measure(bench, rows):
            print(f"{rows:>11,} orders  {line}", flush=True)
        for keys in OTHER_KEYS:
            print(f"{rows:>11,} orders  {measure_sample(bench, keys)}", flush=True)
    return 0


def measure(bench: Workbench, rows: int) -> Iterator[str]:
    """A line for each operation."""
    product = bench.get("product")
    session = requests.Session()

    def get(path: str) -> dict[str, object]:
        answer = session.get(product.url + path, timeout=PATIENCE)
        answer.raise_for_status()
        return dict(answer.json())

    yield from measure_count(get)
    yield describe("sample", *repeat(bench, lambda: get("/orders/sample")))
    highest = max(bench.keys)
    for part in (0.0, 0.5, 0.99):
        path = f"/orders/stream?cursor={round(highest * part)}&page_size={PAGE_SIZE}"
        yield describe(f"stream at {part:.0%}", *repeat(bench, partial(get, path)))
    for page in (rows // PAGE_SIZE // 2, rows // PAGE_SIZE):
        yield measure_page(bench, get, page)


def measure_count(get: Callable[[str], dict[str, object]]) -> Iterator[str]:
    """The first answer, and the exact one."""
    for query in ("", "?accuracy=exact"):
        began = time.monotonic()
        count = get(f"/orders/count{query}")
        took = (time.monotonic() - began) * 1000
        yield f"count{query:<19} {took:8.1f} ms   {count['accuracy']} {count['total_orders']:,}"


def measure_sample(bench: Workbench, keys: str) -> str:
    """The sample of a table with other keys, which is gone afterwards."""
    database = {**bench.database, "DEFAULT_POSTGRES_TABLE": "orders_growth"}
    with psycopg.connect(bench.conninfo, autocommit=True) as connection:
        connection.execute(MAKE_KEYS.format(key=OTHER_KEYS[keys]).encode())
        with start("product", database, bench.folder, probe="/orders/sample") as product:
            session = requests.Session()
            ask = partial(session.get, f"{product.url}/orders/sample", timeout=PATIENCE)
            line = describe(f"sample, {keys}", *repeat(bench, lambda: ask().raise_for_status()))
        connection.execute("DROP TABLE public.orders_growth")
    return line


def measure_page(bench: Workbench, get: Callable[[str], dict[str, object]], page: int) -> str:
    """A page by its number, beside OFFSET over whole rows."""
    with psycopg.connect(bench.conninfo, autocommit=True) as connection:
        offset = [(page - 1) * PAGE_SIZE]
        _, usual = repeat(bench, lambda: connection.execute(OFFSET, offset).fetchall())
    took, cpu = repeat(bench, lambda: get(f"/orders/pages?page={page}"))
    return f"{describe(f'page {page:,}', took, cpu)}   {cpu / usual:.2f}x of OFFSET over whole rows"


def repeat(bench: Workbench, ask: Callable[[], object]) -> tuple[float, float]:
    """The median of the seconds it takes, and the mean of the database's seconds of CPU."""
    ask()
    times, costs = [], []
    for _ in range(REPEATS):
        began, cpu = time.monotonic(), used_cpu(bench.postgres_pid)
        ask()
        times.append(time.monotonic() - began)
        costs.append(used_cpu(bench.postgres_pid) - cpu)
    return statistics.median(times), statistics.fmean(costs)


def describe(name: str, seconds: float, cpu: float) -> str:
    """A line of the report."""
    return f"{name:<24} {seconds * 1000:8.1f} ms   {cpu * 1000:8.1f} ms of database CPU"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
