"""What a worker was asked for in the last quarter of an hour, for people to look at."""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import msgspec

from lakebase_api.telemetry.histogram import Counts, add_counts, build_counts, count
from lakebase_api.telemetry.observation import ExportObservation, Observation

# A quarter of an hour, in parts of so many seconds.
PARTS, SECONDS = 60, 15
MOST_PROBLEMS = 20
# Callers that are counted in one part, and told of all.
MOST_CALLERS, MOST_TOLD = 200, 50


class Refusal(msgspec.Struct, frozen=True):
    """An answer that was a problem; ``at`` is a time of ISO 8601."""

    at: str
    status: int
    problem: str
    method: str
    path: str
    subject: str
    request_id: str


class RouteCounts(msgspec.Struct, frozen=True):
    """The answers of one method of a path."""

    method: str
    path: str
    counts: Counts


class CallerCounts(msgspec.Struct, frozen=True):
    """The requests of a caller, and how many of them were beyond their quota."""

    subject: str
    requests: int
    limited: int


class RecentReport(msgspec.Struct, frozen=True):
    """The quarter of an hour as it can be sent.

    ``parts`` are from the oldest on, empty where there was no request. The number of the last, ``newest``, is
    the same at the same time in all processes of a machine. ``since`` are the seconds of it that are over.
    """

    newest: int
    since: float
    parts: Sequence[Counts]
    routes: Sequence[RouteCounts]
    callers: Sequence[CallerCounts]
    problems: Sequence[Refusal]


class _Part:
    """What was asked for within ``SECONDS``."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.routes: dict[tuple[str, str], list[int]] = {}
        self.requests: dict[str, int] = {}
        self.limited: dict[str, int] = {}


class Recent:
    """Counts requests by time, route and caller. An observer; safe to share between threads.

    It takes 0.9 µs of a request. Routes of which ``left_out`` has the path do not count: probes, and what
    looks at these figures. ``clock`` gives seconds.
    """

    def __init__(self, left_out: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._left_out = frozenset(left_out)
        self._clock = clock
        self._lock = threading.Lock()
        self._parts = [_Part(-1) for _ in range(PARTS)]
        self._problems: deque[Refusal] = deque(maxlen=MOST_PROBLEMS)

    def begin(self) -> None:
        """It is counted when it is answered."""

    def observe(self, observation: Observation) -> None:
        """Count one answer."""
        path, status = observation.route.path, observation.status
        if path in self._left_out:
            return
        number = int(self._clock() / SECONDS)
        subject, key = observation.subject, (observation.method, path)
        with self._lock:
            part = self._parts[number % PARTS]
            if part.number != number:
                part = self._parts[number % PARTS] = _Part(number)
            counts = part.routes.get(key)
            if counts is None:
                counts = part.routes[key] = build_counts()
            count(counts, observation.seconds, status)
            before = part.requests.get(subject, 0)
            if before or len(part.requests) < MOST_CALLERS:
                part.requests[subject] = before + 1
                if status == 429:
                    part.limited[subject] = part.limited.get(subject, 0) + 1
            if observation.problem:
                self._problems.append(_describe(observation))

    def observe_export(self, export: ExportObservation) -> None:
        """It was counted when it began."""

    def report(self) -> RecentReport:
        """What is known."""
        now = self._clock()
        newest = int(now / SECONDS)
        with self._lock:
            parts = [part for part in self._parts if part.number > newest - PARTS]
            routes = [dict(part.routes) for part in parts]
            callers = [(dict(part.requests), dict(part.limited)) for part in parts]
            problems = list(self._problems)
        by_number = {part.number: add_counts(each.values()) for part, each in zip(parts, routes, strict=True)}
        return RecentReport(
            newest,
            now - newest * SECONDS,
            [by_number.get(number, ()) for number in range(newest - PARTS + 1, newest + 1)],
            _add_routes(routes),
            _add_callers(callers),
            problems,
        )


def _describe(observation: Observation) -> Refusal:
    return Refusal(
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        observation.status,
        observation.problem or "",
        observation.method,
        observation.route.path,
        observation.subject,
        observation.request_id,
    )


def _add_routes(parts: Sequence[dict[tuple[str, str], list[int]]]) -> list[RouteCounts]:
    rows = defaultdict(list)
    for part in parts:
        for key, counts in part.items():
            rows[key].append(counts)
    return [RouteCounts(*key, add_counts(several)) for key, several in rows.items()]


def _add_callers(parts: Sequence[tuple[dict[str, int], dict[str, int]]]) -> list[CallerCounts]:
    requests, limited = Counter[str](), Counter[str]()
    for asked, refused in parts:
        requests.update(asked)
        limited.update(refused)
    told = dict(requests.most_common(MOST_TOLD)).keys() | dict(limited.most_common(MOST_TOLD)).keys()
    return [CallerCounts(subject, requests[subject], limited[subject]) for subject in told]
