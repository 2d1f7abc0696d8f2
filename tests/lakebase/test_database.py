"""The pool on a real PostgreSQL, which can be stopped and started."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout

from lakebase_api.environment import load_settings
from lakebase_api.lakebase.database import Database, DatabaseUnavailable
from lakebase_api.lakebase.pool import Connection, ConnectLog, build_pool
from lakebase_api.lakebase.target import Target
from lakebase_api.settings import Settings
from tests.conftest import PASSWORD, OrdersDatabase


@pytest.fixture
def settings(unchanged_database: OrdersDatabase) -> Settings:
    return load_settings(
        {**unchanged_database.environment, "PGAPPNAME": "a-test", "DB_COMMAND_TIMEOUT": "0.3"}
    )


class Recorded:
    def __init__(self) -> None:
        self.uses: list[tuple[float, float]] = []

    def __call__(self, wait: float, held: float) -> None:
        self.uses.append((wait, held))


def connect(settings: Settings, recorded: Recorded | None = None, password: str = PASSWORD) -> Database:
    log = ConnectLog()
    target = Target(settings, lambda: password, None)
    return Database(build_pool(settings, target, log), log, recorded or Recorded())


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = connect(settings)
    database.open()
    yield database
    database.close()


def ask(connection: Connection, statement: str) -> object:
    [(value,)] = connection.execute(statement.encode()).fetchall()
    return value


def test_a_connection_is_what_the_settings_say(database: Database) -> None:
    assert database.run(ask, "SHOW application_name") == "a-test"
    assert database.run(ask, "SHOW statement_timeout") == "300ms"
    assert database.run(ask, "SELECT current_user") == "orders_app"


def test_the_server_ends_a_statement_that_takes_too_long_and_the_connection_serves_the_next(
    settings: Settings,
) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0))
    database.open()
    pid = database.run(ask, "SELECT pg_backend_pid()")
    with pytest.raises(errors.QueryCanceled):
        database.run(ask, "SELECT pg_sleep(30)")
    assert database.run(ask, "SELECT pg_backend_pid()") == pid
    database.close()


def test_waiting_and_holding_are_recorded(settings: Settings) -> None:
    recorded = Recorded()
    database = connect(settings, recorded)
    database.open()
    database.run(ask, "SELECT pg_sleep(0.05)::text")
    with pytest.raises(errors.DivisionByZero):
        database.run(ask, "SELECT 1/0")
    database.close()
    (wait, held), (_, failed) = recorded.uses
    assert wait > 0
    assert held >= 0.05
    assert failed > 0


def test_when_all_connections_are_busy_waiting_ends(settings: Settings) -> None:
    database = connect(
        replace(settings, pool_size=1, pool_max_overflow=0, pool_timeout=0.1, command_timeout=20)
    )
    database.open()
    busy, proceed = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        busy.set()
        assert proceed.wait(10)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(database.run, hold)
        assert busy.wait(10)
        with pytest.raises(PoolTimeout):
            database.run(ask, "SELECT 1")
        proceed.set()
        holding.result()
    database.close()


def test_a_refused_login_is_kept_for_people_to_read(settings: Settings) -> None:
    database = connect(replace(settings, pool_timeout=0.5), password="wrong")
    database.open()
    with pytest.raises(DatabaseUnavailable) as caught:
        database.run(ask, "SELECT 1")
    database.close()
    assert "password authentication failed" in str(database.connect_log.error)
    assert caught.value.__cause__ is database.connect_log.error
    assert "wrong" not in repr(caught.value.__cause__)


def test_a_closed_database_says_so(settings: Settings) -> None:
    database = connect(settings)
    database.open()
    database.close()
    with pytest.raises(PoolClosed):
        database.run(ask, "SELECT 1")


def test_connections_are_replaced_at_the_end_of_their_life(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0, pool_recycle_interval=0.05))
    database.open()
    pids = set()
    for _ in range(5):
        pids.add(database.run(ask, "SELECT pg_backend_pid() FROM pg_sleep(0.06)"))
    database.close()
    assert len(pids) == 5


def test_the_pool_keeps_its_size_and_grows_when_asked(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=2, pool_max_overflow=1, command_timeout=20))
    database.open()
    together = threading.Barrier(3)

    def meet(connection: Connection) -> int:
        together.wait(10)
        return connection.info.backend_pid

    with ThreadPoolExecutor(3) as threads:
        pids = [meeting.result() for meeting in [threads.submit(database.run, meet) for _ in range(3)]]
    stats = database.stats()
    database.close()
    assert len(set(pids)) == 3
    assert (stats["pool_min"], stats["pool_max"]) == (2, 3)


def test_a_database_that_was_away_is_found_again_with_nobody_asking(settings: Settings) -> None:
    """The pool's own attempts end; it must begin again by itself."""
    attempts = threading.Semaphore(0)
    log = ConnectLog()
    passwords = iter(["wrong"] * 4)

    def password() -> str:
        attempts.release()
        return next(passwords, PASSWORD)

    pool = build_pool(replace(settings, pool_size=1), Target(settings, password, None), log)
    pool.reconnect_timeout = 0.0
    database = Database(pool, log, Recorded())
    database.open()
    for _ in range(5):
        assert attempts.acquire(timeout=10)
    pool.wait(10)
    assert log.error is None
    database.close()


def test_no_password_is_shown_by_a_failing_connect(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    database = connect(replace(settings, pool_timeout=0.3), password="hunter2-hunter2")
    database.open()
    with pytest.raises(DatabaseUnavailable):
        database.run(ask, "SELECT 1")
    database.close()
    assert "password authentication failed" in caplog.text
    assert "hunter2" not in caplog.text
    assert isinstance(database.connect_log.error, psycopg.Error)
