"""`python -m lakebase_api.local --tables`: the real API with made-up rows, before there is a database."""

import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakebase_api.local.ports import free_port
from tests.local.conftest import REPOSITORY, Launch, Prepared, Run, make_folder
from tests.local.test_run import READY, get

pytestmark = pytest.mark.slow

TRIAL = REPOSITORY / "tests/tables/trial.toml"
ROWS = 200


@pytest.fixture
def home(prepared: Prepared) -> Iterator[Path]:
    """A folder of somebody with a file of tables, and a cluster so that none has to be made."""
    path = make_folder()
    (path / ".local").mkdir()
    prepared.copy(path / ".local/postgres")
    for name in ("wsgi.py", "gunicorn.conf.py"):
        shutil.copy(REPOSITORY / name, path)
    shutil.copy(TRIAL, path / "mine.toml")
    yield path
    shutil.rmtree(path)


def start(launch: Launch, home: Path, port: int, rows: int = ROWS) -> tuple[Run, str]:
    """A run on the file, and what it says until the API answers."""
    options = ["--tables", "mine.toml", "--rows", str(rows), "--port", str(port)]
    run = launch([sys.executable, "-m", "lakebase_api.local", *options], home)
    return run, run.read_until(READY)


def count(port: int, table: str) -> int:
    return int(json.loads(get(port, f"/{table}/count"))[f"total_{table}"])


def test_a_run_serves_the_declared_tables_and_says_how_to_ask_for_them(launch: Launch, home: Path) -> None:
    port = free_port()
    _, output = start(launch, home, port)
    assert "with made-up rows of customers, events, lineitems." in output
    assert [count(port, table) for table in ("customers", "events", "lineitems")] == [ROWS] * 3
    shown = re.findall(rf"curl '?http://localhost:{port}(/\S+?)'?\n", output)
    assert "/customers/1" in shown
    assert "/lineitems/1/1" in shown
    assert {path.split("/")[1] for path in shown} == {"customers", "events", "lineitems"}
    for path in shown:
        assert get(port, path).startswith("{")
        assert "problems" not in get(port, path)[:60], path


@pytest.mark.slow
def test_an_edited_file_has_new_rows_and_the_same_file_those_of_before(launch: Launch, home: Path) -> None:
    port = free_port()
    run, _ = start(launch, home, port)
    before = get(port, "/customers/stream")
    run.end(signal.SIGTERM)
    mine = home / "mine.toml"
    mine.write_text(mine.read_text().replace('"MACHINERY"', '"MACHINERY", "SPACE"') + "# a note\n")
    run, _ = start(launch, home, port)
    assert "SPACE" in get(port, "/customers/stream?page_size=1000")
    run.end(signal.SIGTERM)
    shutil.copy(TRIAL, mine)
    start(launch, home, port)
    assert get(port, "/customers/stream") == before
