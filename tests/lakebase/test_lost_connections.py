"""Connections that die, servers that refuse, and requests whose time is up, on a real PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import TooManyRequests

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import OutcomeUnknown
from lakebase_api.lakebase.pool import DeadlineExceeded
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import Request, ask, connect
from tests.waiting import PATIENCE


def kill_all(settings: Settings, server: EmbeddedPostgres) -> None:
    """End every session of the test, as a failover does."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
            [settings.pg_appname],
        )


def test_dead_connections_are_not_lent(settings: Settings, server: EmbeddedPostgres) -> None:
    """Even a write goes through: nothing had reached the server."""
    database = connect(replace(settings, pool_size=4))
    database.open()
    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as threads:
        for meeting in [threads.submit(database.read, lambda _: together.wait(PATIENCE)) for _ in range(4)]:
            meeting.result()
    kill_all(settings, server)
    assert database.write(ask("SELECT 1")) == 1
    assert database.retries == 0
    database.close()


def test_a_read_whose_connection_is_lost_is_tried_again(settings: Settings, server: EmbeddedPostgres) -> None:
    database = connect(settings)
    database.open()
    tries = []

    def read(connection: Connection) -> object:
        tries.append(1)
        if len(tries) == 1:
            kill_all(settings, server)
        return ask("SELECT 1")(connection)

    assert database.read(read) == 1
    assert database.retries == len(tries) - 1 == 1
    database.close()


def test_a_write_whose_connection_is_lost_is_not_tried_again(
    settings: Settings, server: EmbeddedPostgres
) -> None:
    database = connect(settings)
    database.open()
    tries = []

    def write(connection: Connection) -> object:
        tries.append(1)
        kill_all(settings, server)
        return ask("SELECT 1")(connection)

    with pytest.raises(OutcomeUnknown):
        database.write(write)
    assert len(tries) == 1
    assert database.write(ask("SELECT 1")) == 1
    database.close()


def test_a_conflict_is_tried_again_once(settings: Settings) -> None:
    database = connect(settings)
    database.open()
    tries = []

    def conflict(connection: Connection) -> None:
        tries.append(1)
        raise errors.SerializationFailure

    with pytest.raises(errors.SerializationFailure):
        database.write(conflict)
    assert len(tries) == 2
    database.close()


def test_what_is_left_of_the_deadline_limits_the_statement(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0))
    database.open()
    pid = database.read(ask("SELECT pg_backend_pid()"))
    with pytest.raises(errors.QueryCanceled):
        database.read_for(Request(seconds=1), ask("SELECT pg_sleep(1000)"))
    assert database.read(ask("SELECT pg_backend_pid()")) == pid
    # That of the settings again.
    assert database.read(ask("SHOW statement_timeout")) == "100s"
    database.close()


def test_a_use_that_the_server_does_not_end_is_ended_at_the_deadline(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0))
    database.open()
    assert database.read(ask("SELECT 1")) == 1

    def hang(connection: Connection) -> object:
        connection.execute("SET statement_timeout = 0")
        return ask("SELECT pg_sleep(60)")(connection)

    with pytest.raises(DeadlineExceeded):
        database.read_for(Request(seconds=0.3), hang)
    assert database.read(ask("SELECT 1")) == 1
    database.close()


def test_a_request_whose_time_is_up_asks_nothing(settings: Settings) -> None:
    database = connect(settings, Request(seconds=0))
    database.open()
    with pytest.raises(DeadlineExceeded):
        database.read(ask("SELECT 1"))
    database.close()


def test_a_queue_that_is_full_refuses_at_once(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0, pool_max_waiting=1))
    database.open()
    busy, proceed = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        busy.set()
        assert proceed.wait(PATIENCE)

    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(database.read, hold)
        assert busy.wait(PATIENCE)
        waiting = threads.submit(database.read, ask("SELECT 1"))
        while database._pool.stats()["requests_waiting"] == 0:
            assert not waiting.done()
        with pytest.raises(TooManyRequests):
            database.read(ask("SELECT 1"))
        proceed.set()
        holding.result()
        assert waiting.result() == 1
    database.close()


def test_a_node_that_is_no_longer_the_primary_is_left(settings: Settings) -> None:
    database = connect(replace(settings, pool_size=1, pool_max_overflow=0))
    database.open()
    pid = database.read(ask("SELECT pg_backend_pid()"))

    def write(connection: Connection) -> None:
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("CREATE TABLE never (a int)")

    with pytest.raises(errors.ReadOnlySqlTransaction):
        database.write(write)
    assert database.write(ask("SELECT pg_backend_pid()")) != pid
    database.close()


def test_an_outage_is_waited_out_with_nobody_asking(server: EmbeddedPostgres, settings: Settings) -> None:
    """The pool's own attempts end; new ones must begin by themselves."""
    connected = threading.Event()
    wrong = replace(settings, pg_database="later", pool_size=1)
    database = connect(wrong, greet=lambda connection: connected.set())
    database.open()
    while database._pool.connects.error is None:
        assert not connected.wait(0.01)
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE later")
    assert connected.wait(PATIENCE)
    database.close()


def test_when_the_server_has_no_connection_left_the_pool_asks_for_fewer(
    server: EmbeddedPostgres, settings: Settings
) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1")
    database = connect(
        replace(settings, pg_user="narrow", pg_password="narrow", pool_size=4, pool_max_overflow=4)
    )
    database.open()
    while database._pool.stats()["pool_max"] == 8:
        assert database.read(ask("SELECT 1")) == 1
    assert database.read(ask("SELECT 1")) == 1
    database.close()
