"""What declared tables cost a start: time and memory of `create_app` with 1 and with 50, and of the document.

    python -m benchmarks.tables

Each in a process of its own, in turn; the medians of five.
"""

import gc
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from lakebase_api.app import create_app
from lakebase_api.environment import load_settings
from lakebase_api.table.loading import read_tables
from tests.http.unopened import NOWHERE

NUMBERS, ROUNDS = (1, 50), 5
HEADINGS = ("tables", "start, CPU s", "start, MB", "first document, CPU s", "with it, MB", "another, CPU s")
DECLARED = """
[things_{n}]
source = "public.thing_{n}"
key = ["id"]
one = "thing_{n}"

[things_{n}.columns]
id = {{ type = "bigint" }}
name = {{ type = "text", null = true, filter = ["any", "prefix"] }}
state = {{ type = "text", filter = "any", values = ["new", "open", "done"], change = {{ path = "state" }} }}
amount = {{ type = "numeric(15,2)", null = true, filter = "range" }}
weight = {{ type = "double precision", null = true, filter = "range" }}
day = {{ type = "date", null = true, filter = "range" }}
at = {{ type = "timestamptz", null = true, filter = ["range", "null"] }}
owner = {{ type = "integer", null = true, filter = "any" }}
mark = {{ type = "uuid", null = true, filter = "any" }}
tags = {{ type = "text[]", null = true, filter = "contains" }}
extra = {{ type = "jsonb", null = true, filter = "contains" }}
active = {{ type = "boolean", null = true, filter = "any" }}
"""


def main(arguments: Sequence[str]) -> int:
    """Measure each number in processes of its own; given a number, measure it in this one."""
    if arguments:
        print(*measure(int(arguments[0])))
        return 0
    rounds = [[measure_apart(number) for number in NUMBERS] for _ in range(ROUNDS)]
    one, many = (
        [statistics.median(figures) for figures in zip(*runs, strict=True)]
        for runs in zip(*rounds, strict=True)
    )
    ratios = [second / first for first, second in zip(one, many, strict=True)]
    rows = [HEADINGS, ["---"] * len(HEADINGS)]
    for name, figures in zip((*map(str, NUMBERS), "ratio"), (one, many, ratios), strict=True):
        rows.append([name, *(f"{figure:.2f}" for figure in figures)])
    print(*(f"| {' | '.join(row)} |" for row in rows), sep="\n")
    return 0


def measure_apart(number: int) -> list[float]:
    """The figures of a process that serves so many tables."""
    command = [sys.executable, "-m", "benchmarks.tables", str(number)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(figure) for figure in answer.stdout.split()]


def measure(number: int) -> Iterator[float]:
    """The figures of this process, which imported everything and has served nothing."""
    tables, mistakes = read_tables("".join(DECLARED.format(n=n) for n in range(number)), "tables.toml")
    assert not mistakes, mistakes
    settings = load_settings(NOWHERE)
    gc.disable()  # as gunicorn's master has it
    memory, started = find_memory(), time.process_time()
    client = create_app(settings, tables).test_client()
    yield time.process_time() - started
    yield find_memory() - memory
    gc.enable()
    for yields_memory in (True, False):
        started = time.process_time()
        assert client.get("/openapi.json").status_code == 200
        yield time.process_time() - started
        if yields_memory:
            yield find_memory() - memory


def find_memory() -> float:
    """The most that the process has had in memory until now, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
