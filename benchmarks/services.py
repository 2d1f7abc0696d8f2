"""The services that are compared, each a process tree of its own: how they start, and what they use."""

import http.client
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from lakebase_api.local.ports import free_port

ROOT = Path(__file__).parent.parent
# The usual stack's requirements are not the service's: it has an environment of its own.
USUAL_PYTHON = ROOT / ".venv-bench/bin/python"
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
# Seconds until a service answers, and until it is gone.
PATIENCE = 60.0


@dataclass(frozen=True)
class Recipe:
    """How a service is started: the program that listens at {port}, and what is set beside the database."""

    command: tuple[str, ...]
    settings: Mapping[str, str]


PRODUCT = (sys.executable, "-m", "gunicorn", "wsgi:app")
FLOOR = (sys.executable, "-m", "gunicorn", "--config", "python:benchmarks.floor", "benchmarks.floor:app")
USUAL = (str(USUAL_PYTHON), "-m", "uvicorn", "benchmarks.usual_stack:app", "--port", "{port}")

# Reading is what is compared: with answers from memory it would not be.
READING = {"WEB_CONCURRENCY": "1", "RESULT_CACHE_SIZE": "0"}
RECIPES = {
    "product": Recipe(PRODUCT, READING),
    "product, direct": Recipe(PRODUCT, {**READING, "STATUS_WRITES": "direct"}),
    # By default a worker lets fewer requests wait than come from 128 connections at once.
    "product, 2 workers": Recipe(PRODUCT, {**READING, "WEB_CONCURRENCY": "2", "DB_POOL_MAX_WAITING": "100"}),
    "product, from memory": Recipe(PRODUCT, {"WEB_CONCURRENCY": "1"}),
    "product, from memory for 5 s": Recipe(PRODUCT, {"WEB_CONCURRENCY": "1", "RESULT_CACHE_TTL": "5"}),
    "floor": Recipe(FLOOR, {}),
    "usual stack": Recipe(USUAL, {}),
}


@dataclass(frozen=True)
class Running:
    """A service that runs."""

    name: str
    port: int
    process: psutil.Popen
    log_path: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def used_cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return used_cpu(self.process.pid)

    def memory(self) -> float:
        """Megabytes that all its processes hold; what several of them share counts once."""
        return sum(_held_by(process) for process in [self.process, *self.process.children(recursive=True)])


def used_cpu(pid: int) -> float:
    """Seconds of CPU that a process and its descendants have used, those that ended included.

    Of those that ended only what their parent waited for, which PostgreSQL's and gunicorn's do. On macOS
    they are not known.
    """
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and the same of children waited for
        except psutil.NoSuchProcess:  # counted with its parent
            continue
    return total


def _held_by(process: psutil.Process) -> float:
    """Its PSS in megabytes; where the system does not tell (macOS) what it alone holds."""
    memory = process.memory_full_info()
    return float(getattr(memory, "pss", memory.uss)) / 1e6


@contextmanager
def start(
    name: str, database: Mapping[str, str], folder: Path, probe: str = "/orders/1"
) -> Iterator[Running]:
    """Run a service until the context is left; it answers ``probe`` when this returns.

    ``database`` are the variables that lead to it; the log is kept in the folder. Raises ``TimeoutError``.
    """
    recipe, port = RECIPES[name], free_port()
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    address = {"BIND": f"127.0.0.1:{port}", "ENV_FILE": os.devnull}
    log_path = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{port}.log"
    with log_path.open("wb") as log:
        process = psutil.Popen(
            [part.format(port=port) for part in recipe.command],
            cwd=ROOT,
            env={**inherited, **address, **database, **recipe.settings},
            stdout=log,
            stderr=log,
        )
    running = Running(name, port, process, log_path)
    try:
        _wait_until_it_answers(running, probe)
        yield running
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_until_it_answers(running: Running, probe: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while running.process.poll() is None and time.monotonic() < deadline:
        if _answers(running.port, probe):
            return
        time.sleep(0.005)
    raise TimeoutError(f"{running.name} does not answer:\n{running.log_path.read_text()}")


def _answers(port: int, probe: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", probe)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
