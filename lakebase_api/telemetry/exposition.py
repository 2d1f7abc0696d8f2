"""Metrics of all workers as Prometheus reads them.

Written here, since prometheus_client's ``generate_latest`` takes ten times as long: `benchmarks/README.md`.
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate, chain, repeat
from operator import add
from pathlib import Path

import msgspec

from lakebase_api.telemetry.families import FAMILIES, WORKERS, Family, Kind, Labels
from lakebase_api.telemetry.metric_file import read_metric_file
from lakebase_api.telemetry.metrics import PATTERN
from lakebase_api.telemetry.peers import State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
# Combinations of labels that are not spelt anew each time.
LABELS_KEPT = 4096

# The numbers of a family by its labels.
Numbers = dict[Labels, Sequence[float]]


class Exposition:
    """Tells the metrics of all workers, whichever is asked. Safe to share between threads.

    ``find_folder`` gives where their files are, and ``ask_all`` what each says of itself: its ``gauges``.
    """

    def __init__(self, find_folder: Callable[[], Path], ask_all: Callable[[], Sequence[State]]) -> None:
        self._find_folder = find_folder
        self._ask_all = ask_all

    def write(self) -> bytes:
        """The text of all metrics."""
        numbers: dict[str, Numbers] = defaultdict(dict)
        for key, values in self._sum_files().items():
            name, *labels = msgspec.json.decode(key)
            numbers[name][tuple(labels)] = values
        for family, values_by_labels in _merge_gauges(self._ask_all()):
            numbers[family.name] = values_by_labels
        lines = [line for family in FAMILIES for line in _write_family(family, numbers.get(family.name, {}))]
        return "".join(lines).encode()

    def _sum_files(self) -> dict[bytes, list[float]]:
        """What all workers have counted since the server started, by key."""
        sums: dict[bytes, list[float]] = {}
        for path in self._find_folder().glob(PATTERN):
            with contextlib.suppress(FileNotFoundError):  # the server is about to end
                for key, values in read_metric_file(path):
                    known = sums.get(key)
                    sums[key] = list(map(add, known, values)) if known else list(values)
        return sums


def _merge_gauges(states: Sequence[State]) -> Iterator[tuple[Family, Numbers]]:
    """What gauges of several workers come to."""
    found: dict[str, dict[Labels, list[float]]] = defaultdict(lambda: defaultdict(list))
    for state in states:
        for name, *labels, value in state.get("gauges", ()):
            found[name][tuple(labels)].append(value)
    silent = sum("silent" in state for state in states)
    found[WORKERS.name] = {("answering",): [len(states) - silent], ("silent",): [silent]}
    for family in FAMILIES:
        if family.name in found:
            values = found[family.name].items()
            yield family, {labels: [family.merge(of_workers)] for labels, of_workers in values}


def _write_family(family: Family, numbers: Numbers) -> Iterator[str]:
    if not numbers:
        return
    yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
    write = _write_histogram if family.kind is Kind.HISTOGRAM else _write_value
    for labels, values in numbers.items():
        yield write(family, _spell(family, labels), values)


def _write_value(family: Family, labels: str, values: Sequence[float]) -> str:
    return f"{family.name}{{{labels}}} {values[0]!r}\n" if labels else f"{family.name} {values[0]!r}\n"


def _write_histogram(family: Family, labels: str, values: Sequence[float]) -> str:
    *buckets, seconds = values
    counts = list(accumulate(map(int, buckets)))
    before = f"{labels}," if labels else ""
    alone = f"{{{labels}}}" if labels else ""
    of_buckets = chain.from_iterable(zip(repeat(before), counts))
    return _build_template(family) % (*of_buckets, alone, seconds, alone, counts[-1])


@cache
def _build_template(family: Family) -> str:
    """The lines of a histogram, with places for labels and numbers."""
    bounds = (*family.bounds, "+Inf")
    buckets = [f'{family.name}_bucket{{%sle="{bound}"}} %r\n' for bound in bounds]
    return "".join([*buckets, f"{family.name}_sum%s %r\n", f"{family.name}_count%s %r\n"])


@lru_cache(LABELS_KEPT)
def _spell(family: Family, labels: Labels) -> str:
    pairs = zip(family.labels, labels, strict=True)
    return ",".join(f'{name}="{str(value).translate(ESCAPES)}"' for name, value in pairs)
