"""The pool on a real PostgreSQL, which can be stopped and started."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.pool import DatabaseUnavailable
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import Request, ask, can_read, connect
from tests.waiting import PATIENCE, wait_until


def test_a_connection_is_what_the_settings_say(database: Database) -> None:
    assert database.read(ask("SHOW application_name")) == "a-test"
    assert database.read(ask("SHOW statement_timeout")) == "100s"
    assert database.read(ask("SELECT current_user")) == "orders_app"


def test_the_server_ends_a_statement_that_takes_too_long_and_the_connection_serves_the_next(
    settings: Settings,
) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0, command_timeout=0.3))
    database.open()
    # Asked of the client: a statement might take too long itself where the machine is busy.
    pid = database.read(lambda connection: connection.info.backend_pid)
    with pytest.raises(errors.QueryCanceled):
        database.read(ask("SELECT pg_sleep(1000)"))
    assert database.read(lambda connection: connection.info.backend_pid) == pid
    database.close()


def test_waiting_and_holding_are_recorded(settings: Settings) -> None:
    request = Request()
    database = connect(settings, request)
    database.open()
    database.read(ask("SELECT pg_sleep(0.05)::text"))
    with pytest.raises(errors.DivisionByZero):
        database.read(ask("SELECT 1/0"))
    database.close()
    (wait, held), (_, failed) = request.uses
    assert wait > 0
    assert held >= 0.05
    assert failed > 0


def test_when_all_connections_are_busy_waiting_ends(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0, pool_timeout=0.1))
    database.open()
    wait_until(lambda: can_read(database))
    busy, proceed = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        busy.set()
        assert proceed.wait(PATIENCE)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(database.read, hold)
        assert busy.wait(PATIENCE)
        with pytest.raises(PoolTimeout):
            database.read(ask("SELECT 1"))
        proceed.set()
        holding.result()
    database.close()


def test_a_refused_login_is_kept_for_people_to_read(settings: Settings) -> None:
    database = connect(replace(settings, pg_password="wrong", wake_budget=0))
    database.open()
    with pytest.raises(DatabaseUnavailable) as caught:
        database.read(ask("SELECT 1"))
    database.close()
    assert "password authentication failed" in str(caught.value.__cause__)
    assert "wrong" not in repr(caught.value.__cause__)


def test_a_closed_database_says_so(settings: Settings) -> None:
    database = connect(settings)
    database.open()
    database.close()
    with pytest.raises(PoolClosed):
        database.read(ask("SELECT 1"))


def test_connections_are_replaced_at_the_end_of_their_life(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0, pool_recycle_interval=0.05))
    database.open()
    pids = set()
    for _ in range(5):
        pids.add(database.read(ask("SELECT pg_backend_pid() FROM pg_sleep(0.06)")))
    database.close()
    assert len(pids) == 5


def test_the_pool_keeps_its_size_and_grows_when_asked(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=2, pool_max_overflow=1))
    database.open()
    together = threading.Barrier(3)

    def meet(connection: Connection) -> int:
        together.wait(PATIENCE)
        return connection.info.backend_pid

    with ThreadPoolExecutor(3) as threads:
        pids = [meeting.result() for meeting in [threads.submit(database.read, meet) for _ in range(3)]]
    stats = database._pool.stats()
    database.close()
    assert len(set(pids)) == 3
    assert (stats["pool_min"], stats["pool_max"]) == (2, 3)


def test_no_password_is_shown_by_a_failing_connect(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    database = connect(replace(settings, pg_password="hunter2-hunter2", wake_budget=0))
    database.open()
    with pytest.raises(DatabaseUnavailable):
        database.read(ask("SELECT 1"))
    database.close()
    assert "password authentication failed" in caplog.text
    assert "hunter2" not in caplog.text
