"""Fixtures for the local run: real folders, servers and processes, with nothing left of them afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
import pytest

from lakebase_api.local import tpch
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[2]
WATCHDOG = PATIENCE  # seconds after which a process that hangs is killed, so that its test fails
SCALE = Decimal("0.01")  # 15,000 orders
FAST = {"fsync": "off", "full_page_writes": "off"}

STUB = Path(__file__).parent / "stub"
MAKE_RUN = (
    *("make", "-f", str(REPOSITORY / "Makefile"), "run", f"SF={SCALE}"),
    *(f"BIN={Path(sys.executable).parent}", "STAMP=installed"),
)


class Run:
    """A process, its output, and all that it has started."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        keyboard: bool = False,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE if keyboard else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Not so where the tests themselves were started to outlive a terminal, as by nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        self._family: list[psutil.Process] = []
        self._watchdog = threading.Timer(WATCHDOG, self.process.kill)
        self._watchdog.start()

    def read_until(self, text: str) -> str:
        """The output up to and with the line that has the text in it."""
        assert self.process.stdout is not None
        seen = ""
        while text not in seen:
            line = self.process.stdout.readline()
            assert line, f"{text!r} never came:\n{seen}"
            seen += line
        return seen

    def end(self, number: signal.Signals) -> str:
        """Send the signal; the rest of the output."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=WATCHDOG)[0]

    def type(self, keys: str) -> str:
        """Type on the keyboard; the rest of the output."""
        return self.process.communicate(keys, timeout=WATCHDOG)[0]

    def family(self) -> list[psutil.Process]:
        """The process and everything below it."""
        top = psutil.Process(self.process.pid)
        self._family = [top, *top.children(recursive=True)]
        return self._family

    def clean_up(self) -> None:
        """End what the test has left, which is something only where it failed or did not mind."""
        self._watchdog.cancel()
        if self.process.poll() is None:
            self.family()
            self.process.terminate()
            survivors(self._family)
        for process in filter(is_alive, self._family):
            process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()


Launch = Callable[..., Run]


def survivors(family: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those still there when the time for an orderly end is over; zombies only wait for a parent to look."""
    deadline = time.monotonic() + PATIENCE
    while alive := [process for process in family if is_alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Whether the process, and not another of its id, is there and no zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def environment(**extra: str) -> dict[str, str]:
    """What a process of the tests runs with: not what a `make test` above it was told."""
    own = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    return {**own, "PYTHONPATH": str(REPOSITORY), **extra}


@pytest.fixture(scope="session", autouse=True)
def heeded_signals() -> Iterator[None]:
    """Have what tests start heed signals that a shell has its background jobs ignore."""
    ignored = [each for each in (signal.SIGINT, signal.SIGQUIT) if signal.getsignal(each) == signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts processes: launch(command, folder, NAME=value…), with keyboard=True to type to them."""
    runs: list[Run] = []

    def start(command: Sequence[str | Path], folder: Path, keyboard: bool = False, **extra: str) -> Run:
        runs.append(Run(command, folder, environment(**extra), keyboard))
        return runs[-1]

    yield start
    for run in runs:
        run.clean_up()


def make_folder() -> Path:
    """An empty folder every account can enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="lakebase-api-test-")).resolve()
    path.chmod(0o755)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, gone after the test."""
    path = make_folder()
    yield path
    shutil.rmtree(path)


class Prepared(NamedTuple):
    """A cluster with orders that does not run, to copy or to start and stop; and what the load reported."""

    folder: Path
    reports: list[int]

    def copy(self, destination: Path) -> None:
        """Copy the cluster. Unlike shutil, cp keeps the owner."""
        subprocess.run(["cp", "-Rp", self.folder, destination], check=True)


@pytest.fixture(scope="session")
def prepared() -> Iterator[Prepared]:
    """Made and loaded once, for all tests that are about something else."""
    path = make_folder()
    reports: list[int] = []
    name = tpch.database_name(SCALE)
    with EmbeddedPostgres(path / "server", settings=FAST) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            tpch.create_database(connection, name)
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            tpch.ensure_orders(connection, SCALE, reports.append)
    yield Prepared(path / "server", reports)
    shutil.rmtree(path)


def make_clone(prepared: Prepared) -> Path:
    """A folder like a clone of the repository, with orders, a stub in the API's place, ready for MAKE_RUN."""
    path = make_folder()
    (path / ".local").mkdir()
    prepared.copy(path / ".local/postgres")
    shutil.copy(STUB / "api.py", path / "wsgi.py")
    shutil.copy(STUB / "gunicorn_conf.py", path / "gunicorn.conf.py")
    shutil.copy(REPOSITORY / "tables.toml", path)
    (path / "requirements.txt").touch()
    (path / "requirements-dev.txt").touch()
    (path / "installed").write_text(str(path))
    return path


@pytest.fixture(scope="session")
def clone(prepared: Prepared) -> Iterator[Path]:
    """A clone whose data stay from one test to the next."""
    path = make_clone(prepared)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def new_clone(prepared: Prepared) -> Iterator[Path]:
    """A clone for one test."""
    path = make_clone(prepared)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def server(prepared: Prepared) -> Iterator[EmbeddedPostgres]:
    """A running server, for tests that leave it running."""
    path = make_folder()
    prepared.copy(path / "server")
    with EmbeddedPostgres(path / "server", settings={**FAST, "work_mem": "7MB"}, discard=True) as running:
        yield running
    shutil.rmtree(path)


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of so many megabytes and returns where it is."""
    mounted: list[Path] = []

    def mount(megabytes: int) -> Path:
        place = folder / "disk"
        place.mkdir()
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("a disk that is really full takes root on Linux, to mount a small one")
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("this container may not mount a small disk")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)
