"""What is tried again after a failure, on pooled and on dedicated connections."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import errors

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.dedicated import MAX_CONFLICTS, MAX_LOSSES, DedicatedConnections
from lakebase_api.lakebase.retries import LOSSES
from lakebase_api.lakebase.setup_faults import SetupLog
from lakebase_api.lakebase.slots import Slots
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import ask, connect
from tests.waiting import PATIENCE

PID = "SELECT pg_backend_pid()"
Read = Callable[[Callable[[Connection], object]], object]


@contextmanager
def read_pooled(settings: Settings) -> Iterator[Read]:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0))
    database.open()
    yield database.read
    database.close()


@contextmanager
def read_dedicated(settings: Settings) -> Iterator[Read]:
    database, setup = connect(settings), SetupLog(lambda connection: [])
    watchdog, one = database.watchdog, replace(settings, export_concurrency=1)
    watchdog.open()
    dedicated = DedicatedConnections(one, Slots(one, database._pool, {"orders": setup}), watchdog)
    with dedicated.begin("ann", "orders", lambda connection: None, time.monotonic() + PATIENCE) as work:
        yield lambda query: work.read(query, 20)
    watchdog.close()


@pytest.fixture(params=[read_pooled, read_dedicated], ids=["pooled", "dedicated"])
def read(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Read]:
    """Runs a query on a connection of either kind, of which there is one."""
    with request.param(settings) as read:
        yield read


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_a_connection_that_is_of_no_more_use_is_not_used_again(read: Read, loss: type[psycopg.Error]) -> None:
    before = read(lambda connection: ask(PID)(connection))
    failures = [loss()]

    def fail_once(connection: Connection) -> object:
        if failures:
            raise failures.pop()
        return ask(PID)(connection)

    if issubclass(loss, psycopg.OperationalError):
        assert read(fail_once) != before
    else:  # it may have been a write: who asked is told
        with pytest.raises(loss):
            read(fail_once)
        assert read(fail_once) != before


@pytest.mark.parametrize(
    ("error", "tries"), [(errors.DeadlockDetected, MAX_CONFLICTS), (errors.AdminShutdown, MAX_LOSSES)]
)
def test_work_on_a_dedicated_connection_is_tried_again_some_times(
    settings: Settings, error: type[psycopg.Error], tries: int
) -> None:
    tried = []

    def fail(connection: Connection) -> None:
        tried.append(connection)
        raise error

    with read_dedicated(settings) as read, pytest.raises(error):
        read(fail)
    assert len(tried) == 1 + tries


def test_a_failure_of_the_query_itself_is_not_tried_again(read: Read) -> None:
    tried = []

    def fail(connection: Connection) -> None:
        tried.append(connection)
        raise errors.QueryCanceled

    with pytest.raises(errors.QueryCanceled):
        read(fail)
    assert len(tried) == 1
