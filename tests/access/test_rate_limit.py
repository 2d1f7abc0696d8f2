"""How much a caller may ask for, counted for several processes."""

import os
import signal
from collections.abc import Iterator

import pytest

from lakebase_api.access.rate_limit import Policy, RateLimit

TEN = Policy("caller", 10, 60)
# Attempts at catching a process while it has the lock.
KILLS = 30


class Clock:
    """A time that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> Iterator[RateLimit]:
    limit = RateLimit(clock)
    limit.open()
    yield limit
    limit.close()


def test_a_quota_is_what_may_be_taken_and_not_more(limit: RateLimit) -> None:
    standings = [limit.take(TEN, "ann") for _ in range(12)]
    assert [each.is_allowed for each in standings] == [True] * 10 + [False] * 2
    assert [each.remaining for each in standings] == [*range(9, -1, -1), 0, 0]
    assert standings[-1].reset == 60


def test_each_caller_and_each_policy_has_its_own(limit: RateLimit) -> None:
    limit.charge(TEN, "ann", 10)
    assert not limit.take(TEN, "ann").is_allowed
    assert limit.take(TEN, "bob").is_allowed
    assert limit.take(Policy("other", 10, 60), "ann").is_allowed


def test_a_window_that_is_over_gives_all_of_it_again(limit: RateLimit, clock: Clock) -> None:
    limit.charge(TEN, "ann", 10)
    clock.now += 59
    assert not limit.take(TEN, "ann").is_allowed
    clock.now += 2
    assert limit.take(TEN, "ann").remaining == 9


def test_what_was_taken_beyond_the_quota_is_taken_from_the_next_windows(
    limit: RateLimit, clock: Clock
) -> None:
    owed = limit.charge(TEN, "ann", 25)
    assert (owed.remaining, owed.reset) == (0, 180)
    clock.now += 61
    assert not limit.take(TEN, "ann").is_allowed
    clock.now += 60
    assert limit.take(TEN, "ann").remaining == 4


def test_processes_count_together(limit: RateLimit) -> None:
    read, write = os.pipe()
    children = []
    for _ in range(4):
        if child := os.fork():
            children.append(child)
            continue
        os.write(
            write, bytes([sum(limit.take(Policy("caller", 100, 60), "ann").is_allowed for _ in range(50))])
        )
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    assert sum(os.read(read, 16)) == 100
    os.close(read)
    os.close(write)


def test_a_process_that_is_killed_leaves_nothing_locked(limit: RateLimit) -> None:
    for _ in range(KILLS):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, b".")
            while True:
                limit.take(TEN, "ann")
        os.read(read, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
        # It would wait for ever.
        assert limit.take(TEN, "bob").policy is TEN


def test_more_callers_than_have_room_lose_their_counts_and_nothing_else(limit: RateLimit) -> None:
    for number in range(6000):
        assert limit.take(TEN, f"caller {number}").is_allowed


def test_what_is_charged_after_the_end_counts_no_more(limit: RateLimit) -> None:
    limit.close()
    assert limit.charge(TEN, "ann", 100).is_allowed
