"""What a missing grant is blamed on: looked at seldom, never in place of what the database said."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from psycopg import errors

from lakebase_api.lakebase import setup_faults as setup_log
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.findings import Blocks, Check, failed, passed
from lakebase_api.lakebase.setup_faults import NotSetUp, SetupLog
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import Request, ask, connect
from tests.waiting import PATIENCE

HIDDEN = "SELECT rolpassword FROM pg_authid"
TABLE = failed("table", "no SELECT", mend="grant it", fault="a grant is missing", blocks=Blocks.EVERYTHING)
CHANGES = failed("update", "no UPDATE", mend="grant it", fault="another grant", blocks=Blocks.CHANGES)
INDEX = failed("index", "none", mend="make it", fault="the key has no index")


class Looks:
    """Counts how often it is looked, and gives what it is told to."""

    def __init__(self, *found: Check) -> None:
        self.found = found
        self.count = 0
        self.error: Exception | None = None

    def __call__(self, connection: Connection) -> tuple[Check, ...]:
        self.count += 1
        if self.error:
            raise self.error
        return self.found


def fail(database: Database, *, change: bool = False) -> NotSetUp:
    with pytest.raises(NotSetUp) as caught:
        (database.write if change else database.read)(ask(HIDDEN))
    assert isinstance(caught.value.__cause__, errors.InsufficientPrivilege)
    return caught.value


@pytest.fixture
def looks() -> Looks:
    return Looks(passed("schema", "fine"), INDEX, TABLE, CHANGES)


@pytest.fixture
def log(looks: Looks) -> SetupLog:
    return SetupLog(looks)


@pytest.fixture
def database(settings: Settings, log: SetupLog) -> Iterator[Database]:
    database = connect(settings, Request(), setup=log)
    database.open()
    yield database
    database.close()


def test_a_read_is_explained_by_what_it_needs_and_a_change_by_that_and_more(database: Database) -> None:
    assert fail(database).checks == [TABLE]
    assert fail(database, change=True).checks == [TABLE, CHANGES]


def test_however_many_ask_one_looks(database: Database, looks: Looks) -> None:
    together = threading.Barrier(4)

    def ask_together(_: int) -> None:
        together.wait(PATIENCE)
        for _ in range(5):
            fail(database)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask_together, range(4)))
    assert looks.count == 1


def test_what_was_found_holds_for_a_while_only(
    database: Database, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(database)
    monkeypatch.setattr(setup_log, "INTERVAL", 0.0)
    looks.found = (CHANGES,)
    assert fail(database, change=True).checks == [CHANGES]


def test_what_nothing_explains_is_what_the_database_said(database: Database, looks: Looks) -> None:
    looks.found = (CHANGES, INDEX)
    [check] = fail(database).checks
    assert check.says == "permission denied for table pg_authid"
    assert check.fault == "a grant is missing"
    assert "doctor" in check.mend


def test_looking_that_fails_hides_nothing(
    database: Database, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    looks.error = errors.QueryCanceled("took too long")
    [check] = fail(database).checks
    assert check.says == "permission denied for table pg_authid"
    assert "Looking for what is wrong failed: took too long" in caplog.text
    assert database.read(ask("SELECT 1")) == 1


def test_another_who_looks_is_not_waited_for_long(
    log: SetupLog, looks: Looks, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setattr(setup_log, "PATIENCE", 0.01)
    with log._looking:
        [check] = fail(database).checks
    assert check.name == "database"
    assert looks.count == 0


def test_the_fault_is_told_until_a_query_disproves_it(database: Database, log: SetupLog) -> None:
    fail(database)
    assert log.fault == "a grant is missing"
    database.read(ask("SELECT 1"))
    assert log.fault is None


def test_a_read_does_not_disprove_what_keeps_from_changing(
    database: Database, log: SetupLog, looks: Looks
) -> None:
    looks.found = (CHANGES,)
    fail(database, change=True)
    database.read(ask("SELECT 1"))
    assert log.fault == "another grant"
    database.write(ask("SELECT 1"))
    assert log.fault is None


def test_it_looks_on_the_connection_that_met_the_fault_within_its_time(settings: Settings) -> None:
    def look(connection: Connection) -> list[Check]:
        ask("SELECT pg_sleep(1000)::text")(connection)
        return [TABLE]

    database = connect(replace(settings, command_timeout=1), Request(), setup=SetupLog(look))
    database.open()
    [check] = fail(database).checks
    assert check.name == "database"
    database.close()


class Table:
    """A table whose definition the test says: what to look at, and the mark that it has."""

    def __init__(self, *marks: str) -> None:
        self.marks = list(marks)

    def find_mark(self, connection: Connection) -> str:
        """Each mark once, and the last one for ever."""
        return self.marks.pop(0) if len(self.marks) > 1 else self.marks[0]


@pytest.fixture
def open_database(settings: Settings) -> Iterator[Callable[[SetupLog], Database]]:
    with ExitStack() as opened:

        def open_one(log: SetupLog) -> Database:
            database = connect(settings, Request(), setup=log)
            database.open()
            opened.callback(database.close)
            return database

        yield open_one


def test_a_look_that_fails_keeps_nobody_and_is_not_made_for_each_request(
    open_database: Callable[[SetupLog], Database], caplog: pytest.LogCaptureFixture
) -> None:
    looks = Looks()
    looks.error = errors.InsufficientPrivilege("permission denied for pg_stats")
    database = open_database(SetupLog(looks, find_mark=Table("one").find_mark, table="orders"))
    assert [database.read(ask("SELECT 1")) for _ in range(5)] == [1] * 5
    assert looks.count == 1
    assert caplog.text.count("Looking at the table orders failed: permission denied for pg_stats") == 1


def test_a_table_that_changed_during_each_look_is_looked_at_again(
    open_database: Callable[[SetupLog], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_log, "INTERVAL", 0.0)
    looks = Looks(TABLE)
    # One for what brings the look about, and one before and one after each of the three.
    table = Table(*"1234567")
    database = open_database(SetupLog(looks, find_mark=table.find_mark))
    assert database.read(ask("SELECT 1")) == 1
    with pytest.raises(NotSetUp):
        database.read(ask("SELECT 1"))
    assert looks.count == setup_log.MOST_LOOKS + 1
