"""The leash, on real processes."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lakebase_api.local.child_process import Leash, Step
from tests.local.conftest import Launch, survivors
from tests.waiting import PATIENCE

TERM = Step(signal.SIGTERM, PATIENCE)
# A shell may miss a signal that comes just as it starts a program, but none while it waits for one.
WAIT = "sleep 1000 & while :; do wait; done"
OWNER = """
import os, signal
from lakebase_api.local.child_process import Leash, Step
from tests.waiting import PATIENCE
leash = Leash(["/bin/sh", "-c", "echo started; sleep 1000"], stop=[Step(signal.SIGTERM, 10)], env=os.environ)
leash.wait()
"""


@contextmanager
def leashed(script: str, *stop: Step, output: Path | None = None) -> Iterator[Leash]:
    """A shell script on a leash."""
    with (output or Path(os.devnull)).open("wb") as file:
        leash = Leash(["/bin/sh", "-c", script], stop=stop or [TERM], env=os.environ, output=file)
    try:
        yield leash
    finally:
        leash.end()


def written(path: Path) -> str:
    """The first line of a file that another process writes, once it is there."""
    deadline = time.monotonic() + PATIENCE
    while not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text().strip()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_the_command_ends_when_its_owner_is_ended_by_any_signal(
    launch: Launch, folder: Path, number: signal.Signals
) -> None:
    owner = launch([sys.executable, "-c", OWNER], folder)
    owner.read_until("started")
    family = owner.family()
    assert len(family) >= 3

    owner.process.send_signal(number)
    owner.process.wait()

    assert survivors(family) == []


def test_the_leash_has_the_status_of_the_command() -> None:
    with leashed("exit 7") as leash:
        assert leash.wait(PATIENCE) == 7


def test_a_command_that_a_signal_ended_has_the_status_a_shell_would_give_it() -> None:
    with leashed("kill -TERM $$") as leash:
        assert leash.wait(PATIENCE) == 128 + signal.SIGTERM


def test_a_command_that_does_not_exist_is_named_in_one_line(tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        leash = Leash(["/no/such/program"], stop=[TERM], env=os.environ, output=output)
    assert leash.end() == 127
    assert (tmp_path / "output").read_text() == "/no/such/program: No such file or directory\n"


def test_the_signals_are_sent_in_order_until_one_works(tmp_path: Path) -> None:
    script = f"trap 'echo INT' INT; trap 'echo QUIT; exit 3' QUIT; echo ready; {WAIT}"
    with leashed(
        script, Step(signal.SIGINT, 0.3), Step(signal.SIGQUIT, PATIENCE), output=tmp_path / "output"
    ) as leash:
        written(tmp_path / "output")
        assert leash.end() == 3
    assert (tmp_path / "output").read_text() == "ready\nINT\nQUIT\n"


def test_a_command_that_ignores_every_signal_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    script = f"trap '' TERM; echo ready; {WAIT}"
    with leashed(script, Step(signal.SIGTERM, 0.2), output=tmp_path / "output") as leash:
        written(tmp_path / "output")
        assert leash.end() == 128 + signal.SIGKILL


def test_what_the_command_leaves_behind_is_killed(tmp_path: Path) -> None:
    with leashed("sleep 1000 & echo $!", output=tmp_path / "output") as leash:
        leash.wait(PATIENCE)
        left = int((tmp_path / "output").read_text())
        assert not psutil.pid_exists(left) or survivors([psutil.Process(left)]) == []


def test_a_terminal_reaches_neither_the_leash_nor_the_command(tmp_path: Path) -> None:
    with leashed("echo $$; sleep 1000", output=tmp_path / "output"):
        command = int(written(tmp_path / "output"))
        assert os.getsid(command) != os.getsid(0)
        assert os.getsid(psutil.Process(command).ppid()) != os.getsid(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_leash_that_is_asked_to_end_stops_the_command(tmp_path: Path, number: signal.Signals) -> None:
    with leashed(f"trap 'exit 4' TERM; echo $$; {WAIT}", output=tmp_path / "output") as leash:
        command = psutil.Process(int(written(tmp_path / "output")))
        psutil.Process(command.ppid()).send_signal(number)
        assert leash.wait(PATIENCE) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_leash_that_is_killed_takes_the_command_with_it(tmp_path: Path) -> None:
    with leashed("echo $$; exec sleep 1000", output=tmp_path / "output") as leash:
        command = psutil.Process(int(written(tmp_path / "output")))
        psutil.Process(command.ppid()).kill()
        assert leash.wait(PATIENCE) == -signal.SIGKILL
        assert survivors([command]) == []


def test_a_lock_is_held_until_the_command_has_ended(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    leash = Leash(["/bin/sh", "-c", "sleep 1000"], stop=[TERM], env=os.environ, keep_open=[writable])
    os.close(writable)
    os.set_blocking(readable, False)
    with pytest.raises(BlockingIOError):
        os.read(readable, 1)
    leash.end()
    assert os.read(readable, 1) == b""
    os.close(readable)
