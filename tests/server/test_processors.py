"""Where the threads of a worker run."""

import os
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from lakebase_api.server.processors import choose_first, pin
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import STARTED, GunicornProcess

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


def find_processors(gunicorn: GunicornProcess) -> list[list[int]]:
    """Where each worker may run."""
    return [worker.cpu_affinity() for worker in psutil.Process(gunicorn.process.pid).children()]


def test_numbers_one_after_the_other_are_different_processors(allowed: set[int]) -> None:
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


def test_neighbouring_ports_have_neighbouring_processors() -> None:
    assert choose_first("127.0.0.1:8001", 2) == choose_first("0.0.0.0:8000", 2) + 2
    assert choose_first("unix:/tmp/socket", 2) >= 0


def test_workers_have_processors_of_their_own_and_one_that_is_replaced_leaves_its_to_the_next(
    unchanged_database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    environment = {**unchanged_database.environment, "WEB_CONCURRENCY": "2"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    before = find_processors(gunicorn)
    assert [len(each) for each in before] == [1, 1]
    assert before[0] != before[1]
    psutil.Process(gunicorn.process.pid).children()[0].kill()
    gunicorn.wait_for_output(STARTED, times=3)
    assert sorted(find_processors(gunicorn)) == sorted(before)


def test_workers_run_anywhere_if_so_set(
    unchanged_database: OrdersDatabase,
    start_gunicorn: Callable[[dict[str, str]], GunicornProcess],
    allowed: set[int],
) -> None:
    environment = {**unchanged_database.environment, "PIN_WORKERS": "false"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    assert find_processors(gunicorn) == [sorted(allowed)]
