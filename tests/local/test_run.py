"""`python -m lakebase_api.local` and `make run`, as real processes, with a stub in the API's place."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lakebase_api.local.ports import free_port
from tests.local.conftest import MAKE_RUN, REPOSITORY, Launch, Run, environment, survivors
from tests.waiting import PATIENCE

LOCAL = (sys.executable, "-m", "lakebase_api.local", "--tables", str(REPOSITORY / "tables.toml"))
READY = "Ctrl-C ends it"
FOREIGN = {
    "PGHOST": "foreign.example",
    "PGSERVICE": "foreign",
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c foreign=1",
    "DATABRICKS_HOST": "https://foreign.example",
    "DATABRICKS_TOKEN": "foreign",
    "LAKEBASE_ENDPOINT": "foreign",
    "ENDPOINT_NAME": "foreign",
    "DEFAULT_POSTGRES_SCHEMA": "foreign",
    "DEFAULT_POSTGRES_TABLE": "foreign",
    "BIND": "0.0.0.0:1",
    "PORT": "1",
    "ENV_FILE": "foreign",
}


@pytest.fixture
def port() -> int:
    """A port for the API."""
    return free_port()


def start(launch: Launch, folder: Path, port: int, scale: str = "0.01", **extra: str) -> Run:
    """A local run, with 15,000 orders unless told otherwise."""
    return launch([*LOCAL, "--scale", scale, "--port", str(port)], folder, **extra)


def fail(folder: Path, *arguments: str, **extra: str) -> str:
    """The one line on stderr of a run that cannot work."""
    outcome = subprocess.run(
        [*LOCAL, *arguments],
        cwd=folder,
        env=environment(**extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert outcome.returncode == 1
    assert outcome.stderr.count("\n") == 1, outcome.stderr
    return outcome.stderr


def get(port: int, path: str) -> str:
    """The body of an answer of the API."""
    connection = http.client.HTTPConnection("localhost", port, timeout=PATIENCE)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def test_a_run_has_the_data_of_the_last_and_says_how_to_ask_for_it(
    launch: Launch, clone: Path, port: int
) -> None:
    output = start(launch, clone, port).read_until(READY)
    assert "Loading" not in output
    assert get(port, "/orders/count").startswith("15000 orders for orders_app\n")
    here = f"http://localhost:{port}"
    assert f"Its documentation: {here}/docs\n" in output
    assert f"{here}/status\n" in output
    assert f"  curl {here}/orders/1\n" in output
    assert f"  curl '{here}/orders/stream?page_size=5'\n" in output
    assert f"  curl -X POST {here}/orders/1/status -H 'Content-Type: application/json' -d '{{" in output


@pytest.mark.slow
def test_nothing_inherited_leads_the_api_elsewhere(launch: Launch, clone: Path, port: int) -> None:
    start(launch, clone, port, **FOREIGN).read_until(READY)
    settings = dict(line.split("=", 1) for line in get(port, "/").splitlines()[1:] if "=" in line)
    assert "foreign" not in str(settings)
    kept = {name for name in settings if name.startswith(("PG", "DATABRICKS_", "LAKEBASE_"))}
    assert kept == {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"}
    assert settings["ENV_FILE"] == "/dev/null"
    assert settings["BIND"] == f"127.0.0.1:{port}"
    assert "PORT" not in settings
    assert (settings["DEFAULT_POSTGRES_SCHEMA"], settings["DEFAULT_POSTGRES_TABLE"]) == (
        "public",
        "orders_synced",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_asked_to_end_it_stops_gunicorn_then_postgresql_and_exits_0(
    launch: Launch, clone: Path, port: int, number: signal.Signals
) -> None:
    run = start(launch, clone, port)
    run.read_until(READY)
    family = run.family()
    run.process.send_signal(number)
    run.read_until("Handling signal: term")
    output = run.end(number)  # an impatient second one changes nothing
    assert run.process.returncode == 0
    assert survivors(family) == []
    assert "gunicorn ends and PostgreSQL is up\n" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_process(launch: Launch, clone: Path, port: int) -> None:
    run = start(launch, clone, port)
    run.read_until(READY)
    family = run.family()
    assert len(family) > 6
    run.end(signal.SIGKILL)
    assert survivors(family) == []


@pytest.mark.slow
def test_a_make_that_is_killed_leaves_no_process(launch: Launch, clone: Path, port: int) -> None:
    run = launch([*MAKE_RUN, f"PORT={port}"], clone)
    run.read_until(READY)
    family = run.family()
    run.end(signal.SIGKILL)
    assert survivors(family) == []


def test_ctrl_c_at_the_terminal_of_make_run_ends_it_in_order_and_without_complaint(
    launch: Launch, clone: Path, port: int
) -> None:
    # `script` would do, were its options the same everywhere.
    terminal = f"import pty, sys; sys.exit(pty.spawn({[*MAKE_RUN, f'PORT={port}']!r}))"
    run = launch([sys.executable, "-c", terminal], clone, keyboard=True)
    run.read_until(READY)
    family = run.family()
    output = run.type("\x03")
    assert survivors(family) == []
    assert "gunicorn ends and PostgreSQL is up" in output
    assert "***" not in output.replace("^C", "")
    assert "Traceback" not in output


def test_a_gunicorn_that_cannot_start_is_heard_and_named(launch: Launch, clone: Path, port: int) -> None:
    run = start(launch, clone, port, STUB_FAILS="the stub is broken")
    output = run.read_until("gunicorn ended by itself")
    family = run.family()
    assert "the stub is broken" in output
    assert "gunicorn ended by itself with status 3: its messages are above.\n" in output
    assert run.process.wait(PATIENCE) == 1
    assert survivors(family) == []


@pytest.mark.slow
def test_a_second_run_on_the_same_folder_is_told_so(launch: Launch, clone: Path, port: int) -> None:
    run = start(launch, clone, port)
    run.read_until(READY)
    line = fail(clone, "--port", str(free_port()))
    assert line == f"{clone}/.local/postgres is in use by process {run.process.pid}: stop that one first.\n"


@pytest.mark.slow
def test_a_load_that_is_killed_leaves_nothing_and_is_done_anew(
    launch: Launch, new_clone: Path, port: int
) -> None:
    run = start(launch, new_clone, port, scale="0.05")
    run.read_until("Loading TPC-H orders")
    family = run.family()
    run.end(signal.SIGKILL)
    assert survivors(family) == []

    again = start(launch, new_clone, port, scale="0.05")
    assert "75,000 of 75,000 (100 %)" in again.read_until(READY)
    assert get(port, "/orders/count").startswith("75000 orders")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")
def test_root_in_a_closed_folder_is_told_where_the_data_is_and_may_end_it_while_loading(
    launch: Launch, folder: Path, port: int
) -> None:
    folder.chmod(0o700)
    run = start(launch, folder, port, scale="0.1")
    output = run.read_until("Loading")
    told = re.search(
        r"runs as user nobody, who cannot enter .local/postgres: its data is in (\S+)\.\n", output
    )
    assert told is not None
    family = run.family()
    output = run.end(signal.SIGINT)
    shutil.rmtree(told[1])
    assert survivors(family) == []
    assert run.process.returncode == 0
    assert "Traceback" not in output


def test_a_port_that_is_taken_is_named_with_the_way_out(folder: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        line = fail(folder, "--port", str(port))
    assert line == f"Port {port} is taken: try `make run PORT={port + 1}`.\n"
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--scale", "0"], "SF must be a number from 0.001 (1 is 1,500,000 orders), not '0'.\n"),
        (["--scale", "lots"], "SF must be a number from 0.001 (1 is 1,500,000 orders), not 'lots'.\n"),
        (["--port", "http"], "PORT must be a number from 1 to 65535, not 'http'.\n"),
        (["--rows", "0"], "ROWS must be a whole number from 1 to 99999999, not '0'.\n"),
        (["--port", "65536"], "PORT must be a number from 1 to 65535, not '65536'.\n"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(folder: Path, arguments: list[str], line: str) -> None:
    assert fail(folder, *arguments) == line


def test_binaries_that_are_not_there_are_named_in_one_line(folder: Path, port: int) -> None:
    line = fail(folder, "--port", str(port), POSTGRES_BIN_DIR=str(folder))
    assert line == f"No PostgreSQL 15 or newer works in {folder}: correct POSTGRES_BIN_DIR.\n"


def test_too_small_a_disk_is_named_in_one_line(small_disk: Callable[[int], Path], port: int) -> None:
    line = fail(small_disk(60), "--port", str(port))
    assert re.match(r"PostgreSQL needs 150 MB and the disk that holds \S+ has 6\d MB left: free some", line)


@pytest.mark.slow
def test_a_disk_too_small_for_the_orders_is_named_before_loading(
    small_disk: Callable[[int], Path], port: int
) -> None:
    line = fail(small_disk(160), "--port", str(port), "--scale", "1")
    assert re.match(
        r"Loading the orders of SF 1 needs 330 MB and the disk that holds \S+ has \d+ MB left", line
    )
