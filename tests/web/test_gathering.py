import os
import sys
import threading
from collections.abc import Iterator

import pytest

from lakebase_api.web import gathering
from lakebase_api.web.gathering import Gathering

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says where a thread may run"),
    pytest.mark.skipif(os.cpu_count() == 1, reason="there is but one processor"),
]


@pytest.fixture
def others() -> Iterator[list[int]]:
    """Threads that sleep; what may run where is as before in the end."""
    before = os.sched_getaffinity(0)
    ended = threading.Event()
    threads = [threading.Thread(target=ended.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield [thread.native_id or 0 for thread in threads]
    ended.set()
    for thread in threads:
        thread.join()
    os.sched_setaffinity(0, before)


def test_all_threads_follow_the_one_that_gathers(others: list[int]) -> None:
    Gathering().gather()
    [processor] = os.sched_getaffinity(0)
    assert all(os.sched_getaffinity(thread) == {processor} for thread in others)


def test_the_one_that_gathers_is_let_loose_now_and_then(
    others: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.sched_getaffinity(0)
    gathered = Gathering()
    gathered.gather()
    gathered.gather()
    assert len(os.sched_getaffinity(0)) == 1
    monkeypatch.setattr(gathering, "INTERVAL", 0.0)
    gathered.gather()
    assert os.sched_getaffinity(0) == allowed
    assert all(len(os.sched_getaffinity(thread)) == 1 for thread in others)
    gathered.gather()
    assert len(os.sched_getaffinity(0)) == 1


def test_a_thread_that_has_ended_is_none_to_gather(others: list[int]) -> None:
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    gathering._allow(ended.native_id or 0, os.sched_getaffinity(0))
