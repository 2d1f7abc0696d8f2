"""Durations counted in a few classes, and the percentiles that they tell."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

# The upper bounds of the classes, in seconds: each is 1.6 times the one before, from 0.5 ms to 25 s. Above
# the last there is one class more.
BOUNDS = tuple(0.0005 * 1.6**step for step in range(24))
# Behind the classes of a row stand how many answers were 4xx, and 5xx.
REFUSED = len(BOUNDS) + 1
FAILED = REFUSED + 1
WIDTH = FAILED + 1

# Answers of one time or one route: how many were in each class, refused, and failed.
Counts = Sequence[int]


def build_counts() -> list[int]:
    """Those of no answer."""
    return [0] * WIDTH


def count(counts: list[int], seconds: float, status: int) -> None:
    """Add one answer."""
    counts[bisect_left(BOUNDS, seconds)] += 1
    if status >= 400:
        counts[FAILED if status >= 500 else REFUSED] += 1


def add_counts(several: Iterable[Counts]) -> list[int]:
    """All of them together."""
    return [sum(column) for column in zip(*several, strict=True)] or build_counts()


def find_total(counts: Counts) -> int:
    """How many answers there were."""
    return sum(counts[:REFUSED])


def find_percentile(counts: Counts, part: float) -> float | None:
    """The seconds within which this part of the answers was given; ``None`` if there was none.

    Within a class answers are taken to lie evenly, as Prometheus does; above the last bound they count as it.
    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    rank = part * find_total(counts)
    if not rank:
        return None
    below = 0
    lower = 0.0
    for upper, number in zip(BOUNDS, counts, strict=False):
        if number and below + number >= rank:
            return lower + (upper - lower) * (rank - below) / number
        below += number
        lower = upper
    return BOUNDS[-1]
