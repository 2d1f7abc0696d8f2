"""What the measurements share: the service on a stand-in for Lakebase, and figures held against bounds."""

import itertools
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lakebase_api.local.api import forget_inherited_settings
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn, start_lakebase
from tests.load import OK, Load, Sample, count_failures, get

WORKERS = 2
# The pool as the service has it by default: the stand-in's own is small.
POOL = {"DB_POOL_SIZE": "5", "DB_MAX_OVERFLOW": "10"}
# Seconds that a service is waited for.
PATIENCE = 120.0
TICK = 0.01
PROBES = ("/livez", "/readyz")
ORDER = get("/orders/1")


@dataclass(frozen=True)
class Figure:
    """Something measured, and what it should be; without a bound it is for information."""

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is within its bounds; what could not be measured is not."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def bound(self) -> str:
        """The bound, to be read."""
        if self.at_most is not None:
            return f"≤ {self._show(self.at_most)}"
        return "" if self.at_least is None else f"≥ {self._show(self.at_least)}"

    def __str__(self) -> str:
        verdict = "ok" if self.is_met else "MISS"
        shown = f"{self.what:<48} {self._show(self.value):>12} {self.bound:>12}"
        return f"{shown} {verdict if self.bound else '':>5}"

    def _show(self, value: float) -> str:
        if self.unit == "ms":
            return f"{value * 1000:.0f} ms"
        is_whole = abs(value) >= 100 or value % 1 == 0
        text = f"{value:.0f}" if is_whole else f"{value:.2f}"
        return f"{text} {self.unit}".rstrip()


def failed(failures: dict[str, int], what: str = "failed reads") -> Figure:
    """The figure of what must not fail; the kinds of failure are told with it."""
    kinds = ", ".join(f"{count} × {kind}" for kind, count in failures.items())
    return Figure(f"{what} ({kinds})" if kinds else what, sum(failures.values()), at_most=0)


@contextmanager
def open_lakebase(**settings: str) -> Iterator[LakebaseStandIn]:
    """A stand-in for Lakebase for as long as the context lasts; ``settings`` are PostgreSQL's own."""
    forget_inherited_settings()
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        start_lakebase(Path(folder) / "server", **settings) as lakebase,
    ):
        yield lakebase


@contextmanager
def start(lakebase: LakebaseStandIn, **settings: str) -> Iterator[GunicornProcess]:
    """The service on the stand-in as it is, once it is live; ``settings`` are the service's own.

    Afterwards the stand-in is as good as new.
    """
    defaults = {"WEB_CONCURRENCY": str(WORKERS), "LOG_LEVEL": "WARNING", **POOL}
    try:
        with GunicornProcess({**lakebase.environment(), **defaults, **settings}) as gunicorn:
            if math.isinf(wait_until(lambda: answers(gunicorn, "/livez"))):
                raise TimeoutError(gunicorn.output)
            yield gunicorn
    finally:
        lakebase.proxy.heal()
        lakebase.workspace.reset()


@contextmanager
def serve(lakebase: LakebaseStandIn, **settings: str) -> Iterator[GunicornProcess]:
    """As ``start``, and it has answered for a while."""
    with start(lakebase, **settings) as gunicorn:
        with Load(gunicorn.port, lambda: ORDER, clients=16) as load:
            load.wait_for_each(10)
        yield gunicorn


class Lateness:
    """How late this machine is in waking up who sleeps, for as long as the ``with`` block lasts.

    What else runs on it delays the service as well: no time below this says anything.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lateness")
        self.worst = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + TICK
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            self.worst = max(self.worst, now - due)
            due = now + TICK


def answers(gunicorn: GunicornProcess, path: str) -> bool:
    """Whether the path is answered with 200."""
    try:
        return gunicorn.get(path).status_code == 200
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], patience: float = PATIENCE) -> float:
    """Wait until a condition holds; the seconds it took, infinite when patience has ended before."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() > started + patience:
            return math.inf
        time.sleep(0.02)
    return time.monotonic() - started


def reading(gunicorn: GunicornProcess, clients: int, *, is_patient: bool = False) -> Load:
    """Clients that read one order again and again."""
    return Load(gunicorn.port, lambda: ORDER, clients=clients, is_patient=is_patient)


def probing(gunicorn: GunicornProcess) -> Load:
    """Ten liveness and readiness probes a second, each on a connection of its own as probes are."""
    requests = itertools.cycle([get(path, Connection="close") for path in PROBES])
    return Load(gunicorn.port, lambda: next(requests), pause=0.1)


def slowest(samples: Iterable[Sample]) -> float:
    """The longest time that one took."""
    return max((sample.seconds for sample in samples), default=math.nan)


def percentile(samples: Iterable[Sample], part: float) -> float:
    """The time within which that part of them ended."""
    ordered = sorted(sample.seconds for sample in samples)
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else math.nan


def sent_between(samples: Iterable[Sample], begin: float, end: float) -> list[Sample]:
    """Those sent from ``begin`` until before ``end``."""
    return [sample for sample in samples if begin <= sample.sent < end]


def first_success_after(samples: Iterable[Sample], moment: float) -> float:
    """Seconds from the moment to the end of the first success after it."""
    ends = [sample.ended for sample in samples if sample.outcome == OK and sample.ended > moment]
    return min(ends, default=math.nan) - moment


def last_failure_after(samples: Iterable[Sample], moment: float) -> float:
    """Seconds from the moment until no request failed any more."""
    ends = [sample.ended for sample in samples if sample.outcome != OK]
    return max(0.0, max(ends, default=moment) - moment)


def other_failures(samples: Iterable[Sample], expected: str) -> dict[str, int]:
    """The failures of another status than the expected one, by outcome."""
    failures = count_failures(samples).items()
    return {outcome: count for outcome, count in failures if not outcome.startswith(expected)}
