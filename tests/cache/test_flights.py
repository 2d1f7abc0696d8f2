"""Work that is asked for at the same time is done once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakebase_api.cache.flights import Failed, Flights
from tests.waiting import PATIENCE, wait_until


class Work:
    """Work that ends when it is let, and counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Event()

    def __call__(self) -> int:
        self.begun += 1
        assert self.may_end.wait(PATIENCE)
        return self.begun


def deadline() -> float:
    return time.monotonic() + PATIENCE


def test_those_who_came_before_it_began_share_what_came_of_it() -> None:
    flights, first, second = Flights[int](), Work(), Work()
    with ThreadPoolExecutor(9) as threads:
        leading = threads.submit(flights.share, "key", time.monotonic(), deadline(), first)
        wait_until(lambda: first.begun == 1)
        arrived = time.monotonic()
        others = [threads.submit(flights.share, "key", arrived, deadline(), second) for _ in range(8)]
        first.may_end.set()
        assert leading.result() == 1
        # They came after the first had begun, which may have seen what was before them.
        wait_until(lambda: second.begun == 1)
        second.may_end.set()
        assert all(other.result() for other in others)
    # One of them, unless some were not there yet when it ended.
    assert second.begun < 8


def test_work_for_other_keys_waits_for_nobody() -> None:
    flights, held = Flights[int](), Work()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(flights.share, "key", 0.0, deadline(), held)
        wait_until(lambda: held.begun == 1)
        assert flights.share("other", 0.0, deadline(), lambda: 7) == 7
        held.may_end.set()


def test_who_waits_for_work_that_fails_does_their_own() -> None:
    flights, failing = Flights[int](), threading.Event()

    def fail() -> int:
        assert failing.wait(PATIENCE)
        raise LookupError("of the one who began it")

    with ThreadPoolExecutor(2) as threads:
        leading = threads.submit(flights.share, "key", 0.0, deadline(), fail)
        wait_until(lambda: not flights.join("key")[1])
        waiting = threads.submit(flights.share, "key", 0.0, deadline(), lambda: 7)
        failing.set()
        with pytest.raises(LookupError):
            leading.result()
        assert waiting.result() == 7


def test_nobody_waits_beyond_their_deadline() -> None:
    flights = Flights[int]()
    flight, is_own = flights.join("key")
    assert is_own
    with pytest.raises(TimeoutError):
        flights.share("key", 0.0, time.monotonic(), lambda: 7)
    with pytest.raises(TimeoutError):
        flight.wait(time.monotonic())
    with pytest.raises(LookupError):
        flights.lead("key", flight, _fail)
    with pytest.raises(Failed):
        flight.wait(deadline())


def _fail() -> int:
    raise LookupError
