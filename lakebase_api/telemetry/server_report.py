"""What all workers of a server say, put together for people to look at."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lakebase_api.telemetry.histogram import (
    FAILED,
    REFUSED,
    Counts,
    add_counts,
    build_counts,
    find_percentile,
    find_total,
)
from lakebase_api.telemetry.recent import MOST_PROBLEMS, PARTS, SECONDS, RecentReport
from lakebase_api.telemetry.sentence import compose_sentence, find_condition
from lakebase_api.telemetry.worker_report import WorkerReport

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MOST_CALLERS = 10
NO_PATH = "(no route)"


def describe_server(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole of it, of what ``Peers.ask_all`` gives. Durations are in seconds."""
    silent = [{"number": state["number"], "is_silent": True} for state in states if "silent" in state]
    workers = [msgspec.convert(state, WorkerReport) for state in states if "silent" not in state]
    workers.sort(key=lambda worker: worker.number)
    recent = [worker.recent for worker in workers]
    return {
        "condition": find_condition(workers),
        "sentence": compose_sentence(workers),
        "workers": sorted([*map(_describe_worker, workers), *silent], key=lambda each: each["number"]),
        "traffic": _describe_traffic(recent),
        "routes": _describe_routes(recent),
        **_describe_callers(recent),
        "problems": _choose_problems(recent),
        "exports": [
            {**msgspec.to_builtins(export), "worker": worker.number}
            for worker in workers
            for export in worker.exports
        ],
        "freshness": {name: told for worker in workers for name, told in worker.freshness.items()},
        "cache": _add_up(worker.cache for worker in workers),
    }


def merge_parts(reports: Sequence[RecentReport]) -> list[list[int]]:
    """The parts of the quarter of an hour over all workers, the oldest first.

    Of workers that answered just before and just after a part began, the same parts are put together.
    """
    newest = max((report.newest for report in reports), default=0)
    rows: dict[int, list[Counts]] = defaultdict(list)
    for report in reports:
        for age, counts in enumerate(reversed(report.parts)):
            if counts:
                rows[report.newest - age].append(counts)
    numbers = range(newest - PARTS + 1, newest + 1)
    return [add_counts(rows[number]) if number in rows else build_counts() for number in numbers]


def _describe_worker(worker: WorkerReport) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(worker)
    for name in ("recent", "exports", "freshness", "cache"):
        del told[name]
    return {**told, "is_silent": False}


def _describe_traffic(reports: Sequence[RecentReport]) -> dict[str, Any]:
    """One value for each part; ``last_seconds`` are those of the last one that are over."""
    newest = max((report.newest for report in reports), default=0)
    parts = merge_parts(reports)
    return {
        "part_seconds": SECONDS,
        "last_seconds": max((report.since for report in reports if report.newest == newest), default=0.0),
        "requests": [find_total(counts) for counts in parts],
        "refused": [counts[REFUSED] for counts in parts],
        "failed": [counts[FAILED] for counts in parts],
        **{name: [_find(counts, part) for counts in parts] for name, part in PERCENTILES.items()},
        "total": _describe_counts(add_counts(parts)),
    }


def _describe_counts(counts: Counts) -> dict[str, Any]:
    return {
        "requests": find_total(counts),
        "refused": counts[REFUSED],
        "failed": counts[FAILED],
        **{name: _find(counts, part) for name, part in PERCENTILES.items()},
    }


def _find(counts: Counts, part: float) -> float | None:
    """The percentile, to the tenth of a millisecond."""
    seconds = find_percentile(counts, part)
    return None if seconds is None else round(seconds, 4)


def _describe_routes(reports: Sequence[RecentReport]) -> list[dict[str, Any]]:
    """Those with the most requests first."""
    rows: dict[tuple[str, str], list[Counts]] = defaultdict(list)
    for report in reports:
        for route in report.routes:
            rows[route.method, route.path].append(route.counts)
    routes = [
        {"route": _spell_route(method, path), **_describe_counts(add_counts(several))}
        for (method, path), several in rows.items()
    ]
    return sorted(routes, key=lambda route: (-route["requests"], route["route"]))


def _spell_route(method: str, path: str) -> str:
    """In one text: a path alone would look like a link to whoever follows those of answers."""
    return f"{method} {path or NO_PATH}"


def _describe_callers(reports: Sequence[RecentReport]) -> dict[str, Any]:
    """Who asked most, and who asked for more than their quota most often."""
    requests = _add_up({each.subject: each.requests for each in report.callers} for report in reports)
    limited = _add_up({each.subject: each.limited for each in report.callers} for report in reports)
    callers: list[dict[str, Any]] = [
        {"subject": subject, "requests": number, "limited": limited[subject]}
        for subject, number in requests.items()
    ]
    callers.sort(key=lambda caller: (-caller["requests"], caller["subject"]))
    beyond = sorted(callers, key=lambda caller: -caller["limited"])
    return {
        "callers": callers[:MOST_CALLERS],
        "limited": [caller for caller in beyond[:MOST_CALLERS] if caller["limited"]],
    }


def _choose_problems(reports: Sequence[RecentReport]) -> list[dict[str, Any]]:
    """The newest first."""
    problems = [problem for report in reports for problem in report.problems]
    newest = sorted(problems, key=lambda problem: problem.at, reverse=True)[:MOST_PROBLEMS]
    return [
        {
            "at": problem.at,
            "status": problem.status,
            "problem": problem.problem,
            "route": _spell_route(problem.method, problem.path),
            "subject": problem.subject,
            "request_id": problem.request_id,
        }
        for problem in newest
    ]


def _add_up(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(int)
    for each in several:
        for name, number in each.items():
            total[name] += number
    return dict(total)
