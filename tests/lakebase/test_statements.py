"""What statements say of what they are for, on a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database, OutcomeUnknown
from lakebase_api.lakebase.setup_faults import NotSetUp
from lakebase_api.lakebase.statements import add_comment, execute, spell_name
from lakebase_api.settings import Settings
from tests.conftest import OrdersDatabase
from tests.lakebase.borrowing import Request, ask, connect
from tests.waiting import wait_until

NAME = b"SELECT current_setting('application_name')"
PID = b"SELECT pg_backend_pid()"
WAITS = "wait_event_type = 'Lock'"


def named(request_id: str) -> Request:
    return Request(operation="get_order", request_id=request_id)


def fetch(connection: Connection, statement: bytes) -> object:
    [(value,)] = execute(connection, statement).fetchall()
    return value


def read_name(connection: Connection) -> object:
    return fetch(connection, NAME)


@contextmanager
def tracing(settings: Settings) -> Iterator[Database]:
    """A database of one connection, whose sessions are named after requests."""
    database = connect(replace(settings, trace_sql=True, pool_size=1, pool_max_overflow=0))
    database.open()
    yield database
    database.close()


@pytest.fixture
def traced(settings: Settings) -> Iterator[Database]:
    with tracing(settings) as database:
        yield database


@pytest.mark.parametrize(
    ("statement", "commented"),
    [
        (b"SELECT 1", b"SELECT /*get_order*/ 1"),
        (b"\nWITH a AS (SELECT 1) TABLE a", b"\nWITH /*get_order*/ a AS (SELECT 1) TABLE a"),
        (b"COPY (SELECT 1) TO STDOUT", b"COPY /*get_order*/ (SELECT 1) TO STDOUT"),
        (b"EXPLAIN (FORMAT JSON) SELECT", b"EXPLAIN /*get_order*/ (FORMAT JSON) SELECT"),
        (b"/* One. */\nSELECT 1", b"/* One. */\nSELECT /*get_order*/ 1"),
        (b"(SELECT 1)", b" /*get_order*/(SELECT 1)"),
    ],
)
def test_the_operation_is_a_comment_within_the_statement(statement: bytes, commented: bytes) -> None:
    assert add_comment(statement, "get_order") == commented
    assert add_comment(statement, "") == statement


def test_no_name_of_an_operation_ends_the_comment() -> None:
    assert add_comment(b"SELECT 1", "a*/ b") == b"SELECT /*a___b*/ 1"


@pytest.mark.parametrize(
    ("application", "request_id", "name"),
    [
        ("orders-api", "", "orders-api"),
        ("orders-api", "one", "orders-api/one"),
        ("o" * 60, "one", "o" * 59 + "/one"),
        ("orders-api", "i" * 60, "or/" + "i" * 60),
        ("orders-api", "i" * 128, "/" + "i" * 62),
        ("é" * 40, "one", "é" * 29 + "/one"),
    ],
)
def test_a_name_has_the_id_and_as_much_as_there_is_room_for(
    application: str, request_id: str, name: str
) -> None:
    assert spell_name(application, request_id) == name


def test_without_the_setting_a_session_keeps_its_name(database: Database) -> None:
    assert database.read_for(named("one"), read_name) == "a-test"


def test_a_session_is_named_after_the_request_that_has_it(traced: Database) -> None:
    assert traced.read_for(named("one"), read_name) == "a-test/one"
    assert traced.read_for(named("two"), read_name) == "a-test/two"
    assert traced.read_for(named("it's; \\"), read_name) == "a-test/it's; \\"
    # As well in a statement of another kind, and for nobody's request.
    assert traced.read_for(named("three"), ask(NAME.decode())) == "a-test/three"
    assert traced.read_for(Request(), ask(NAME.decode())) == "a-test"


def test_name_and_statement_go_to_the_server_at_once(traced: Database, tmp_path: Path) -> None:
    def record(connection: Connection) -> list[str]:
        with (tmp_path / "trace").open("w+") as file:
            connection.pgconn.trace(file.fileno())
            fetch(connection, b"SELECT 1")
            connection.pgconn.untrace()
            file.seek(0)
            return [line.split("\t")[1] for line in file.read().splitlines()]

    traced.read_for(named("one"), read_name)
    directions = traced.read_for(named("two"), record)
    # First all that is sent, then the answers.
    assert directions == sorted(directions, reverse=True)
    assert set(directions) == {"F", "B"}


def test_an_error_is_the_one_of_the_statement_and_its_session_is_named_anew(traced: Database) -> None:
    traced.read_for(named("one"), read_name)
    with pytest.raises(errors.DivisionByZero):
        traced.read_for(named("two"), lambda connection: fetch(connection, b"SELECT 1/0"))
    with pytest.raises(NotSetUp, match='relation "not_there" does not exist'):
        traced.read_for(named("two"), lambda connection: fetch(connection, b"SELECT FROM not_there"))
    # The server takes the name back with the statement that came with it.
    assert traced.read_for(named("two"), read_name) == "a-test/two"


def test_a_statement_that_fails_because_it_was_prepared_is_repeated(
    traced: Database, unchanged_database: OrdersDatabase
) -> None:
    def read(connection: Connection) -> object:
        return execute(connection, b"SELECT * FROM traced").fetchall()

    unchanged_database.execute("CREATE TABLE traced (n integer); GRANT SELECT ON traced TO public")
    for number in range(8):
        traced.read_for(named(f"{number}"), read)
    unchanged_database.execute("ALTER TABLE traced ADD m integer; INSERT INTO traced VALUES (1, 2)")
    assert traced.read_for(named("last"), read) == [(1, 2)]
    assert traced.read_for(named("last"), read_name) == "a-test/last"
    unchanged_database.execute("DROP TABLE traced")


def test_the_server_ends_a_named_statement_that_takes_too_long(traced: Database) -> None:
    pid = traced.read_for(named("one"), lambda connection: fetch(connection, PID))
    hurried = Request(seconds=1, request_id="two")
    with pytest.raises(errors.QueryCanceled):
        traced.read_for(hurried, lambda connection: fetch(connection, b"SELECT pg_sleep(1000)"))
    assert traced.read_for(named("three"), lambda connection: fetch(connection, PID)) == pid


def kill(database: OrdersDatabase, name: str) -> None:
    database.execute(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{name}'"
    )


def test_a_read_whose_connection_is_lost_is_tried_again(
    traced: Database, unchanged_database: OrdersDatabase
) -> None:
    tries: list[int] = []

    def read(connection: Connection) -> object:
        tries.append(1)
        if len(tries) == 1:
            kill(unchanged_database, "a-test/before")
        return read_name(connection)

    traced.read_for(named("before"), read_name)
    assert traced.read_for(named("one"), read) == "a-test/one"
    assert (len(tries), traced.retries) == (2, 1)


def test_a_lost_write_is_of_an_unknown_outcome(
    settings: Settings, unchanged_database: OrdersDatabase
) -> None:
    tries: list[int] = []

    def write(connection: Connection) -> object:
        tries.append(1)
        kill(unchanged_database, "a-test/before")
        return read_name(connection)

    with tracing(settings) as database:
        database.read_for(named("before"), read_name)
        with pytest.raises(OutcomeUnknown):
            database.write(write)
    assert len(tries) == 1


def test_who_waits_for_a_lock_is_seen_by_id_and_operation(
    traced: Database, unchanged_database: OrdersDatabase
) -> None:
    lock = b"SELECT pg_advisory_lock(7)::text"
    waiting = f"SELECT query FROM pg_stat_activity WHERE application_name = 'a-test/one' AND {WAITS}"
    conninfo = unchanged_database.server.conninfo(unchanged_database.name)
    traced.read_for(named("before"), read_name)
    with psycopg.connect(conninfo) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("SELECT pg_advisory_lock(7)")
        reading = threads.submit(traced.read_for, named("one"), lambda connection: fetch(connection, lock))
        wait_until(
            lambda: unchanged_database.execute(waiting) == [(add_comment(lock, "get_order").decode(),)]
        )
        holder.execute("SELECT pg_advisory_unlock(7)")
        reading.result()
