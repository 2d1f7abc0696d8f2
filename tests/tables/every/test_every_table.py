"""What holds for every declared table: those of the file that TABLES names, else the repository's own.

`make test TABLES=mine.toml` makes each table of the file in an embedded PostgreSQL, with values that are hard
to show and with NULLs, and looks at it through the API.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lakebase_api.local.data import load_declared
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.tables.every.files import FILES
from tests.tables.every.serving import serve
from tests.tables.served import Served
from tests.tables.statements import CHANGES, READS, Check

DECLARED = {file: load_declared(file) for file in FILES}
# What is served, and a key of several columns; of TABLES all are looked at, slow ones included.
QUICK = ("orders", "lineitems")
ALL = [
    pytest.param(
        file,
        table.name,
        id=f"{file.stem}-{table.name}",
        marks=() if table.name in QUICK else pytest.mark.slow,
    )
    for file, tables in DECLARED.items()
    for table in tables
]

# Thousands of requests: on a busy machine that takes longer than a test usually may.
pytestmark = pytest.mark.timeout(1200)

Find = Callable[[Path, str], Served]


@pytest.fixture(scope="module")
def find_served(server: EmbeddedPostgres) -> Iterator[Find]:
    """Finds a table, served from a database with all those of its file."""
    with ExitStack() as stack:
        served: dict[Path, dict[str, Served]] = {}

        def find(file: Path, name: str) -> Served:
            if file not in served:
                served[file] = stack.enter_context(serve(server, DECLARED[file], file.read_text()))
            return served[file][name]

        yield find


def name_check(check: Check) -> str:
    return check.__name__.removeprefix("check_that_")


@pytest.mark.parametrize(("file", "name"), ALL)
@pytest.mark.parametrize("check", READS, ids=name_check)
def test_of_every_table(find_served: Find, check: Check, file: Path, name: str) -> None:
    check(find_served(file, name))


@pytest.mark.parametrize(("file", "name"), ALL)
@pytest.mark.parametrize("check", CHANGES, ids=name_check)
def test_of_every_table_that_changes(
    server: EmbeddedPostgres, find_served: Find, check: Check, file: Path, name: str
) -> None:
    # After the reads, which take the rows as they were made, or had changed by the check before.
    check(find_served(file, name))
