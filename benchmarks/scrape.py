"""What metrics cost: `python -m benchmarks.scrape`.

Prints the CPU that counting takes of each request, and how long a scrape takes at METRICS_BIND, of four
workers that all have answered requests of every route of ten tables, well and badly.
"""

import statistics
import sys
import tempfile
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from benchmarks.harness import Figure, open_lakebase, start
from benchmarks.services import used_cpu
from lakebase_api.local.ports import free_port
from lakebase_api.telemetry.metrics import Metrics
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.telemetry.observations import OBSERVATION
from tests.waiting import PATIENCE

TABLES, WORKERS = 10, 4
# Of each table; the second of a pair is refused.
PATHS = ("1", "999999999", "count", "sample", "pages", "stream", "export?o_custkey=1", "1/status/history")
WRONG = "?nonsense=1"
# Often enough that each worker has had each request.
ROUNDS, SCRAPES, TIMES = 12, 50, 100_000
MOST_COST, MOST_TIME = 7e-6, 0.020


def measure_counting() -> float:
    """Seconds of CPU for all that is counted of a look-up by key, as the least of several tries."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Metrics()
        metrics.open(Path(folder), 0)

        def count() -> None:
            metrics.begin()
            metrics.note_use(0.0001, 0.0004)
            metrics.observe(OBSERVATION)

        tries = timeit.repeat(count, number=TIMES, repeat=9, timer=time.process_time)
        metrics.close()
    return min(tries) / TIMES


def declare_tables(path: Path) -> None:
    """Write the declaration of the orders so many times, by other names."""
    declared = (ROOT / "tables.toml").read_text()
    texts = [
        declared.replace("[orders", f"[orders{number}").replace('one = "order"', f'one = "order{number}"')
        for number in range(TABLES)
    ]
    path.write_text("\n".join(texts))


def use_routes(gunicorn: GunicornProcess) -> None:
    """Ask for each route of each table, on a new connection each time, so that each worker has had it."""
    paths = [f"/orders{number}/{path}" for number in range(TABLES) for path in PATHS]
    paths += [f"{path.partition('?')[0]}{WRONG}" for path in paths]
    with ThreadPoolExecutor(8) as threads:
        urls = [gunicorn.url + path for path in paths * ROUNDS]
        list(threads.map(lambda url: requests.get(url, timeout=PATIENCE).content, urls))


def measure_scrapes(port: int) -> tuple[list[float], str]:
    """The seconds of each scrape, and the last one's text."""
    seconds = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
        seconds.append(time.perf_counter() - began)
    return seconds, text


def main() -> int:
    """Measure both. The exit status."""
    figures = [Figure("counting, µs of a request", measure_counting() * 1e6, at_most=MOST_COST * 1e6)]
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, open_lakebase() as lakebase:
        tables = Path(folder) / "tables.toml"
        declare_tables(tables)
        more = {"TABLES_FILE": str(tables), "METRICS_BIND": f"127.0.0.1:{port}"}
        with start(lakebase, WEB_CONCURRENCY=str(WORKERS), **more) as gunicorn:
            use_routes(gunicorn)
            used = used_cpu(gunicorn.process.pid)
            seconds, text = measure_scrapes(port)
            used = used_cpu(gunicorn.process.pid) - used
    figures += [
        Figure("lines", len(text.splitlines())),
        Figure("CPU of a scrape, all workers", used / SCRAPES, "ms", at_most=MOST_TIME),
        Figure("quickest scrape", min(seconds), "ms", at_most=MOST_TIME),
        # What else runs on the machine is in these.
        Figure("median scrape", statistics.median(seconds), "ms"),
        Figure("slowest scrape", max(seconds), "ms"),
    ]
    print(*figures, sep="\n")
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
