"""Runs a command and stops it when its owner is gone, however that one ended: SIGKILL included, on macOS too.

The owner holds the write end of a pipe and never writes; this process has the other end as its stdin. End of
file means that the owner closed it or is dead. The leash lives in a session of its own, so that a terminal's
Ctrl-C reaches only the owner, which then stops things in its order. Standard library only: it is run as a
file, by `python -I -S`.
"""

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

OWNER = 0  # stdin
MARGIN = 5.0  # seconds the leash itself may need beyond the graces of its steps
PR_SET_PDEATHSIG = 1


class Step(NamedTuple):
    """One attempt at stopping: the signal to send, and how many seconds it may take to work."""

    signal: signal.Signals
    grace: float


class Leash:
    """The owner's side: a command that ends with this object or with this process, whichever is first.

    Not for several threads at once. A child forked without exec keeps the command alive until it ends too.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stop: Sequence[Step],
        env: Mapping[str, str],
        account: tuple[int, int] | None = None,
        output: IO[bytes] | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        """Start the command. `keep_open` lists descriptors to hold until it has ended (a lock, say)."""
        steps = [f"--stop={step.signal.name}:{step.grace}" for step in stop]
        identity = [f"--account={account[0]}:{account[1]}"] if account else []
        self._patience = sum(step.grace for step in stop) + MARGIN
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, *steps, *identity, "--", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=env,
            cwd="/" if account else None,
            start_new_session=True,
            pass_fds=keep_open,
        )

    def poll(self) -> int | None:
        """The command's exit status (128 + n for signal n), or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the command to end, for `timeout` seconds at most. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def end(self) -> int:
        """Have the command stopped, wait until it is, return its status. Harmless if it has ended already."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return self._process.wait(self._patience)


def main(arguments: Sequence[str]) -> int:
    """Run the command until it ends or the owner does; return its exit status."""
    parser = argparse.ArgumentParser(prog="leash")
    parser.add_argument("--stop", action="append", type=read_step, required=True)
    parser.add_argument("--account", type=read_account)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    wakeups = watch_signals()
    try:
        child = start(options.command, options.account, options.stop[0].signal)
    except OSError as error:
        print(f"{options.command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    wait_for_either(child, wakeups)
    stop(child, options.stop)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def read_step(text: str) -> Step:
    """`SIGTERM:10` as a step."""
    name, _, grace = text.partition(":")
    return Step(signal.Signals[name], float(grace))


def read_account(text: str) -> tuple[int, int]:
    """`65534:65534` as user and group id."""
    uid, _, gid = text.partition(":")
    return int(uid), int(gid)


def watch_signals() -> int:
    """A descriptor that gets a byte, the signal's number, when the child ends or a signal asks to stop."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def start(
    command: Sequence[str], account: tuple[int, int] | None, last_word: signal.Signals
) -> subprocess.Popen[bytes]:
    """Start the command in a process group of its own, so that what it leaves behind can be found."""

    def outlive_no_leash() -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, last_word)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        user=account[0] if account else None,
        group=account[1] if account else None,
        extra_groups=[] if account else None,
        process_group=0,
        # A second net, where the kernel has it: a leash that is killed takes the command with it.
        preexec_fn=outlive_no_leash if sys.platform == "linux" else None,
    )


def wait_for_either(child: subprocess.Popen[bytes], wakeups: int) -> None:
    """Return when the child has ended, the owner is gone, or a signal asks to stop."""
    while child.poll() is None:
        readable, _, _ = select.select([OWNER, wakeups], [], [])
        if OWNER in readable or set(os.read(wakeups, 64)) - {signal.SIGCHLD}:
            return


def stop(child: subprocess.Popen[bytes], steps: Sequence[Step]) -> None:
    """Take the steps until the child has ended, then kill what is left of its process group."""
    for step in steps:
        if child.poll() is None:
            child.send_signal(step.signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(step.grace)
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # macOS: EPERM for a group of dead processes
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
