"""Looking at several tables when the service starts: what is noted of which, and that rows come last."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.findings import CONNECTIONS, KEY, Blocks, Check, State, failed, passed, skipped
from lakebase_api.lakebase.pool import Pool
from lakebase_api.lakebase.setup_faults import NotSetUp, SetupLog
from lakebase_api.lakebase.setup_logs import AT_NO_ROWS, SetupLogs
from lakebase_api.lakebase.target import Target
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import Request, ask

NOT_LOOKED = skipped(KEY, "not looked through")
TWICE = failed(KEY, "twice", mend="mend it", fault="the key is not unique", blocks=Blocks.EVERYTHING)
CHANGED = failed("columns", "others", mend="mend it", fault="other columns", blocks=Blocks.EVERYTHING)


class Tables:
    """A table that is fine, one that is looked at by its rows, and one that is altered at each look."""

    names = ("fine", "view", "altered")

    def __init__(self) -> None:
        self.looks: list[tuple[tuple[str, ...], bool]] = []
        self.marks: Counter[str] = Counter()
        self.is_altered = True

    def examine(self, connection: Connection, names: Collection[str], look_until: float) -> Sequence[Check]:
        looks_at_rows = look_until != AT_NO_ROWS
        self.looks.append((tuple(names), looks_at_rows))
        found = {
            "fine": passed(KEY, "unique"),
            "view": TWICE if looks_at_rows else NOT_LOOKED,
            "altered": CHANGED if self.is_altered else passed(KEY, "unique"),
        }
        self.marks["altered"] += self.is_altered
        own = [replace(found[name], table=name, is_one_of_several=True) for name in names]
        return [*own, passed(CONNECTIONS, "enough")]

    def find_marks(self, connection: Connection, names: Collection[str]) -> Mapping[str, str]:
        return {name: str(self.marks[name]) for name in names}


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def logs(tables: Tables) -> SetupLogs:
    return SetupLogs(tables)


@pytest.fixture
def database(settings: Settings, logs: SetupLogs) -> Iterator[Database]:
    pool = Pool(settings, Target(settings), lambda connection: None)
    caller = Request()
    database = Database(settings, pool, SetupLog(lambda _: ()), lambda: caller, logs.by_table)
    database.open()
    yield database
    database.close()


def test_rows_are_looked_at_last_and_of_those_tables_alone_that_only_they_can_tell_of(
    tables: Tables, logs: SetupLogs, database: Database
) -> None:
    found = database.read(logs.examine)
    assert tables.looks == [(tables.names, False), (("view",), True)]
    assert [(check.table, check.state) for check in found] == [
        ("fine", State.OK),
        ("view", State.FAILED),
        ("altered", State.FAILED),
        ("", State.OK),
    ]
    assert {name: log.fault for name, log in logs.by_table.items()} == {
        "fine": None,
        "view": TWICE.fault,
        # What was found may be of the table before: whoever asks for it looks.
        "altered": None,
    }


def test_each_table_is_refused_for_what_was_found_of_it(
    tables: Tables, logs: SetupLogs, database: Database
) -> None:
    database.read(logs.examine)
    assert database.for_table("fine").read(ask("SELECT 1")) == 1
    with pytest.raises(NotSetUp) as caught:
        database.for_table("view").read(ask("SELECT 1"))
    assert [check.line for check in caught.value.checks] == [
        replace(TWICE, table="view", is_one_of_several=True).line
    ]
    assert caught.value.checks[0].line.startswith("view: index: twice")
    tables.is_altered = False
    assert database.for_table("altered").read(ask("SELECT 1")) == 1
    assert logs.by_table["view"].fault == TWICE.fault


def test_all_are_at_fault_once_each_is(tables: Tables, logs: SetupLogs, database: Database) -> None:
    database.read(logs.examine)
    assert not logs.are_all_at_fault()
    for name in ("fine", "altered"):
        logs.by_table[name].note([CHANGED], "0", 0.0)
    assert logs.are_all_at_fault()
    logs.by_table["fine"].note([passed(KEY, "unique")], "1", 0.0)
    assert not logs.are_all_at_fault()
