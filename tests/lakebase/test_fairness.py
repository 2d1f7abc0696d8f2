"""Connections of the pool and of exports among several callers, on a real PostgreSQL."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import pytest
from psycopg_pool import TooManyRequests

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.dedicated import DedicatedConnections, DedicatedWork, LimitReached
from lakebase_api.lakebase.pool import OWN_FLOWS
from lakebase_api.lakebase.setup_faults import SetupLog
from lakebase_api.lakebase.slots import Slots
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import Request, ask, can_read, connect
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def small(settings: Settings) -> Settings:
    """One connection; four requests of one caller may have it or wait for it, and two of others."""
    return replace(settings, pool_size=1, pool_max_overflow=0, pool_max_waiting=3)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    database = connect(settings)
    database.open()
    wait_until(lambda: can_read(database))
    yield database
    database.close()


class Crowd:
    """Queries that each hold a connection until they are let go, and the order in which they got it."""

    def __init__(self, database: Database, threads: ThreadPoolExecutor) -> None:
        self._database = database
        self._threads = threads
        self._proceed = threading.Semaphore(0)
        self.served: list[str] = []

    def start(self, flow: str, settled: int) -> Future[None]:
        """Another query, once so many wait for a connection."""
        asked = self._threads.submit(self._database.read_for, Request(flow=flow), partial(self._hold, flow))
        wait_until(lambda: self._database._pool.stats()["requests_waiting"] == settled or asked.done())
        return asked

    def let_go(self) -> None:
        """End the query that has the connection, and wait for the next."""
        n = len(self.served)
        self._proceed.release()
        wait_until(lambda: len(self.served) > n)

    def end(self) -> None:
        """Let all go."""
        self._proceed.release(100)

    def _hold(self, flow: str, _: Connection) -> None:
        self.served.append(flow)
        assert self._proceed.acquire(timeout=PATIENCE)


def test_a_caller_with_one_request_gets_the_next_connection_however_many_another_has(
    small: Settings,
) -> None:
    with opened(small) as database, ThreadPoolExecutor(8) as threads:
        crowd = Crowd(database, threads)
        asked = [crowd.start("ann", 0)]
        wait_until(lambda: crowd.served == ["ann"])
        asked += [crowd.start("ann", number) for number in (1, 2, 3)]
        asked.append(crowd.start("bob", 4))
        crowd.let_go()
        assert crowd.served == ["ann", "bob"]
        crowd.end()
        for future in asked:
            future.result()


def test_who_takes_all_that_one_may_is_refused_more_and_others_are_not(small: Settings) -> None:
    with opened(small) as database, ThreadPoolExecutor(8) as threads:
        crowd = Crowd(database, threads)
        asked = [crowd.start("ann", 0)]
        wait_until(lambda: crowd.served == ["ann"])
        asked += [crowd.start("ann", number) for number in (1, 2, 3)]
        with pytest.raises(TooManyRequests):
            crowd.start("ann", 3).result()
        asked.append(crowd.start("bob", 4))
        crowd.let_go()
        # Beside another it may have half of the six places, of which it has three.
        with pytest.raises(TooManyRequests):
            crowd.start("ann", 3).result()
        asked.append(crowd.start("cid", 4))
        crowd.end()
        for future in asked:
            future.result()


@pytest.mark.parametrize("flow", OWN_FLOWS)
def test_what_the_service_does_by_itself_takes_no_place_of_a_caller(small: Settings, flow: str) -> None:
    with opened(small) as database, ThreadPoolExecutor(8) as threads:
        crowd = Crowd(database, threads)
        asked = [crowd.start("ann", 0)]
        wait_until(lambda: crowd.served == ["ann"])
        asked.append(crowd.start(flow, 1))
        asked += [crowd.start("ann", number) for number in (2, 3, 4)]
        crowd.end()
        for future in asked:
            future.result()


def test_the_pools_counters_tell_of_those_who_wait_for_their_turn(small: Settings) -> None:
    with opened(replace(small, pool_timeout=0.1)) as database, ThreadPoolExecutor(8) as threads:
        crowd = Crowd(database, threads)
        held = crowd.start("ann", 0)
        wait_until(lambda: crowd.served == ["ann"])
        before = database._pool.stats()["requests_errors"]
        asked = crowd.start("bob", 1)
        wait_until(asked.done)
        stats = database._pool.stats()
        assert (stats["requests_waiting"], stats["requests_errors"]) == (0, before + 1)
        crowd.end()
        held.result()


def test_exports_of_one_caller_leave_room_and_the_next_connection_to_another(settings: Settings) -> None:
    one = replace(settings, export_concurrency=1)
    with opened(one) as database, ExitStack() as under_way:
        setups = {"orders": SetupLog(lambda connection: [])}
        dedicated = DedicatedConnections(one, Slots(one, database._pool, setups), database.watchdog)

        def begin(flow: str) -> DedicatedWork:
            end = time.monotonic() + PATIENCE
            return under_way.enter_context(dedicated.begin(flow, "orders", lambda connection: None, end))

        first, *_ = [begin("ann") for _ in range(4)]
        with pytest.raises(LimitReached):
            begin("ann")
        other = begin("bob")
        assert other.read(ask("SELECT 'bob'"), 5) == "bob"
        with pytest.raises(LimitReached):
            begin("ann")
        begin("cid")
        assert first.read(ask("SELECT 'ann'"), 5) == "ann"


def test_a_connection_of_exports_goes_to_the_caller_that_has_none(settings: Settings) -> None:
    one = replace(settings, export_concurrency=1)
    with opened(one) as database, ThreadPoolExecutor(8) as threads:
        setups = {"orders": SetupLog(lambda connection: [])}
        dedicated = DedicatedConnections(one, Slots(one, database._pool, setups), database.watchdog)
        proceed, served = threading.Semaphore(0), []

        def export(flow: str) -> None:
            def hold(connection: Connection) -> None:
                served.append(flow)
                assert proceed.acquire(timeout=PATIENCE)

            end = time.monotonic() + PATIENCE
            with dedicated.begin(flow, "orders", lambda connection: None, end) as work:
                work.read(hold, PATIENCE)

        exports = []
        for flow in ("ann", "ann", "ann", "bob"):
            exports.append(threads.submit(export, flow))
            wait_until(lambda: len(served) + dedicated.primary._turns.waiting == len(exports))
        proceed.release()
        wait_until(lambda: len(served) == 2)
        assert served == ["ann", "bob"]
        proceed.release(3)
        for done in exports:
            done.result()
