"""The fault proxy does what tests rely on, seen by a real client of a real PostgreSQL."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.fault_proxy import FaultProxy


@pytest.fixture
def proxy(server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def conninfo(server: EmbeddedPostgres, proxy: FaultProxy) -> str:
    return f"{server.conninfo()} port={proxy.port} connect_timeout=10"


def ask(connection: psycopg.Connection) -> object:
    return connection.execute("SELECT 1").fetchone()


def test_queries_pass_and_connections_are_counted(proxy: FaultProxy, conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        assert ask(connection) == (1,)
        assert (proxy.counts.opened, proxy.counts.open) == (1, 1)
    proxy.wait_for(lambda counts: counts.open == 0)
    assert proxy.counts.opened == 1


def test_a_cut_resets_what_is_open_and_the_next_connection_passes(proxy: FaultProxy, conninfo: str) -> None:
    connection = psycopg.connect(conninfo)
    proxy.cut()
    assert proxy.counts.open == 0
    with pytest.raises(psycopg.OperationalError):
        ask(connection)
    with psycopg.connect(conninfo) as another:
        assert ask(another) == (1,)


def test_a_refused_connect_is_refused_until_healed_on_the_same_port(proxy: FaultProxy, conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(conninfo)
        assert ask(connection) == (1,)
    proxy.heal()
    psycopg.connect(conninfo).close()


def test_logins_are_turned_away_in_the_words_of_postgresql(proxy: FaultProxy, conninfo: str) -> None:
    proxy.starting_up()
    with pytest.raises(psycopg.OperationalError, match=r"FATAL: .*the database system is starting up"):
        psycopg.connect(conninfo)
    proxy.too_many()
    with pytest.raises(psycopg.OperationalError, match=r"FATAL: .*too many clients"):
        psycopg.connect(conninfo)
    proxy.wait_for(lambda counts: counts.turned_away == 2)


def test_in_a_stall_nothing_comes_back_and_what_lost_bytes_stays_silent(
    proxy: FaultProxy, conninfo: str
) -> None:
    with ThreadPoolExecutor(1) as threads:
        idle, asking = psycopg.connect(conninfo), psycopg.connect(conninfo)
        proxy.stall()
        answer = threads.submit(ask, asking)
        proxy.wait_for(lambda counts: counts.swallowed >= 1)
        proxy.heal()
        assert ask(idle) == (1,)
        idle.close()
        assert not answer.done()
        proxy.cut()
        assert isinstance(answer.exception(), psycopg.OperationalError)


def test_a_forgotten_connection_is_silent_and_a_new_one_passes(proxy: FaultProxy, conninfo: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        forgotten = psycopg.connect(conninfo)
        proxy.forget()
        answer = threads.submit(ask, forgotten)
        proxy.wait_for(lambda counts: counts.swallowed >= 1)
        with psycopg.connect(conninfo) as another:
            assert ask(another) == (1,)
        assert not answer.done()
        proxy.cut()
        assert isinstance(answer.exception(), psycopg.OperationalError)


def test_each_query_is_held_back_as_long_as_asked(proxy: FaultProxy, conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        proxy.slow(0.1)
        started = time.monotonic()
        ask(connection)
        ask(connection)
    assert time.monotonic() - started >= 0.2
