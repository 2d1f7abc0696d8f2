"""The one table of all cases, as Markdown, and the same as JSON."""

import dataclasses
import json
import math
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.comparison import Bound, Measurement, Rounds, compare, summarize

HEADINGS = (
    "case",
    "service",
    "requests/s",
    "p50, ms",
    "p99, ms",
    "CPU, ms",
    "database CPU, ms",
    "memory, MB",
    "failures",
    "ratio, and what it should be",
)


def find_misses(cases: Mapping[Case, Rounds]) -> list[str]:
    """Each ratio out of its bound and each case with failures, in words."""
    misses = []
    for case, rounds in cases.items():
        product = case.services[0]
        misses += [
            f"{case.name}: {_describe(bound, compare(rounds, product, bound))}"
            for bound in case.bounds
            if not bound.is_met(compare(rounds, product, bound))
        ]
        if failures := summarize(rounds[product]).failures:
            misses.append(f"{case.name}: {failures} failures")
    return misses


def format_table(cases: Mapping[Case, Rounds]) -> str:
    """The table: a line for each service of each case, and with the product's its ratios."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS)]
    for case, rounds in cases.items():
        for service in case.services:
            is_first = service == case.services[0]
            ratios = [_describe(bound, compare(rounds, service, bound)) for bound in case.bounds if is_first]
            name = case.name if is_first else ""
            rows.append((name, service, *_format_figures(summarize(rounds[service])), "; ".join(ratios)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    return "\n".join(_format_row(row, widths) for row in rows)


def _format_row(row: tuple[str, ...], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return f"| {' | '.join([*padded, row[-1]])} |"


def _format_figures(measured: Measurement) -> tuple[str, ...]:
    return (
        _show(measured.rate, ",.0f"),
        _show(measured.p50 * 1000, ",.1f"),
        _show(measured.p99 * 1000, ",.1f"),
        _show(measured.cpu * 1000, ",.2f"),
        _show(measured.database_cpu * 1000, ",.2f"),
        _show(measured.memory, ",.0f"),
        str(measured.failures),
    )


def _show(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _describe(bound: Bound, value: float) -> str:
    verdict = "ok" if bound.is_met(value) else "MISS"
    times = "×" if bound.to else ""
    side = f"≤ {bound.at_most:g}" if math.isfinite(bound.at_most) else f"≥ {bound.at_least:g}"
    subject = f"{bound.quantity.name} {bound.to}" if bound.to else bound.quantity.name
    return f"{subject} {value:.2f}{times} {side}{times} {verdict}"


def write_json(path: Path, cases: Mapping[Case, Rounds], loads: Mapping[str, Any]) -> None:
    """Everything measured, every round of it. Times are in seconds, memory in megabytes."""
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "cases": [_describe_case(case, rounds) for case, rounds in cases.items()],
        "latency against load": loads,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, default=dataclasses.asdict))


def describe_machine() -> str:
    """What it ran on."""
    python = f"Python {platform.python_version()}"
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {python}"


def _describe_case(case: Case, rounds: Rounds) -> dict[str, Any]:
    ratios = {}
    for bound in case.bounds:
        value = compare(rounds, case.services[0], bound)
        ratios[f"{bound.quantity.name} to {bound.to or 'itself'}"] = value
    return {"case": case.name, "ratios": ratios, "rounds": dict(rounds)}
