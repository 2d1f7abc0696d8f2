import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakebase_api.telemetry.histogram import (
    BOUNDS,
    FAILED,
    REFUSED,
    add_counts,
    build_counts,
    count,
    find_percentile,
    find_total,
)


def count_all(durations: list[float]) -> list[int]:
    counts = build_counts()
    for seconds in durations:
        count(counts, seconds, 200)
    return counts


def test_of_no_answer_there_is_no_percentile() -> None:
    assert find_percentile(build_counts(), 0.5) is None
    assert find_percentile(add_counts([]), 0.99) is None


@given(st.lists(st.floats(0, BOUNDS[-1]), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_in_the_class_of_the_answer_it_is_of(durations: list[float], part: float) -> None:
    found = find_percentile(count_all(durations), part)
    assert found is not None
    ranked = sorted(durations)
    true = next(value for rank, value in enumerate(ranked, 1) if rank >= part * len(ranked) - 1e-9)
    upper = next(bound for bound in BOUNDS if true <= bound)
    lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
    assert lower <= found <= upper


def test_within_a_class_answers_lie_evenly() -> None:
    evenly = [BOUNDS[9] + (BOUNDS[10] - BOUNDS[9]) * step / 100 for step in range(1, 101)]
    assert find_percentile(count_all(evenly), 0.5) == pytest.approx(statistics.median(evenly), rel=0.01)


def test_what_took_longer_than_the_last_bound_counts_as_it() -> None:
    assert find_percentile(count_all([100.0]), 0.5) == BOUNDS[-1]


def test_counts_add_up() -> None:
    counts = build_counts()
    for status in (200, 304, 404, 429, 500, 503, 504):
        count(counts, 0.01, status)
    twice = add_counts([counts, counts])
    assert (find_total(twice), twice[REFUSED], twice[FAILED]) == (14, 4, 6)
