"""How long a look-up of an API key takes: a right one, and a wrong secret behind a right id.

``python -m benchmarks.key_timing`` prints both; they must not be told apart. In turns, in one thread, so that
what else the machine does is in both.
"""

import statistics
import sys
import time
from collections.abc import Callable

from lakebase_api.access.api_keys import (
    CHECKSUM_LENGTH,
    KeptKey,
    compute_checksum,
    digest,
    is_same,
    make_key,
    read_id,
)
from lakebase_api.access.key_ring import KeyRing

TRIES = 10_000
KEYS = 101
WARM_UP = 1_000
SOON = 10.0
# From one process to the next the same code takes a hundredth more or less by where it lies in memory, now of
# one kind and now of the other. Behind a network a thousand times as much is lost in the noise.
GREATEST_PART = 0.02


def main() -> int:
    """Measure, print, and return 1 if they can be told apart."""
    keys = [make_key() for _ in range(KEYS)]
    kept = [KeptKey(str(read_id(key)), digest(key), f"key-{number}") for number, key in enumerate(keys)]
    ring = KeyRing(lambda used: {key.id: key for key in kept})
    pairs = [(key, _find_wrong(key)) for key in keys]

    def look_up(key: str) -> bool:
        found = ring.find(str(read_id(key)), time.monotonic() + SOON)
        return is_same(key, found)

    assert all(look_up(right) and not look_up(wrong) for right, wrong in pairs)
    times = _measure(look_up, pairs)
    part = _compare(*times)
    for name, taken in zip(("right key", "wrong secret"), times, strict=True):
        low, middle, high = (statistics.quantiles(taken, n=10)[place] for place in (0, 4, 8))
        print(f"{name:<13} median {middle:.0f} ns, 10 % {low:.0f}, 90 % {high:.0f}")
    print(f"{TRIES} tries each; a wrong secret takes {part:+.2%} of the time more")
    return int(abs(part) > GREATEST_PART)


def _find_wrong(right: str) -> str:
    """The key with the last character of its secret changed."""
    body = right[:-CHECKSUM_LENGTH]
    other = body[:-1] + ("a" if body[-1] != "a" else "b")
    return other + compute_checksum(other)


def _measure(look_up: Callable[[str], bool], pairs: list[tuple[str, str]]) -> tuple[list[float], list[float]]:
    """Nanoseconds of each try with the first and the second of each pair, another one first in each turn.

    Many pairs: to read a checksum takes some nanoseconds more or less, by what it is.
    """
    encoded = [(right.encode(), wrong.encode()) for right, wrong in pairs]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + TRIES):
        for place in (0, 1) if number % 2 else (1, 0):
            # A text of its own for each try, as each request brings one.
            key = encoded[number % KEYS][place].decode()
            began = time.perf_counter_ns()
            look_up(key)
            took = time.perf_counter_ns() - began
            if number >= WARM_UP:
                times[place].append(took)
    return times


def _compare(first: list[float], second: list[float]) -> float:
    """By what part of the first the second takes longer: the median over the pairs."""
    parts = [
        statistics.median(second[pair::KEYS]) / statistics.median(first[pair::KEYS]) for pair in range(KEYS)
    ]
    return statistics.median(parts) - 1


if __name__ == "__main__":
    sys.exit(main())
