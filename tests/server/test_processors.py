"""Where the threads of a worker run."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from lakebase_api.server.processors import pin

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says where a thread may run"),
    pytest.mark.skipif(os.cpu_count() == 1, reason="there is but one processor"),
]


@pytest.fixture(autouse=True)
def allowed() -> Iterator[set[int]]:
    """The processors this process may use, and may again in the end."""
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_workers_one_after_the_other_have_processors_of_their_own(allowed: set[int]) -> None:
    chosen = set()
    for number in range(7, 7 + len(allowed)):
        os.sched_setaffinity(0, allowed)
        pin(number)
        chosen |= os.sched_getaffinity(0)
    assert chosen == allowed


def test_threads_run_where_the_one_that_started_them_does() -> None:
    pin(1)
    seen: list[set[int]] = []
    thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
    thread.start()
    thread.join()
    assert seen == [os.sched_getaffinity(0)]
    assert len(seen[0]) == 1
