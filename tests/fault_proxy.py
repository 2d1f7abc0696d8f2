"""The network between the app and PostgreSQL, to be broken by tests: a TCP proxy in a process of its own."""

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import trustme

from lakebase_api.local.ports import free_port
from tests.fault_connection import Counts
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent


class FaultProxy:
    """Listens on one port of 127.0.0.1 for as long as the ``with`` block lasts.

    Everything may be used from any thread; what is asked for is in force on return, until ``heal``.
    With ``tls`` it has a certificate for ``localhost`` and drops clients that do not ask for TLS, as
    Lakebase does; it is plain towards PostgreSQL in any case.
    """

    def __init__(self, server_port: int, *, tls: bool = False) -> None:
        self.port = free_port()
        self._server_port = server_port
        self._authority = trustme.CA() if tls else None
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._counts = Counts()
        self._done = -1
        self._has_ended = False

    def __enter__(self) -> Self:
        with self._certificate() as certificate:
            arguments = [str(self.port), str(self._server_port), *certificate]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fault_relay", *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._reader = threading.Thread(target=self._read, name="fault-proxy")
            self._reader.start()
            self._wait(lambda: self._done >= 0)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._reader.join(PATIENCE)
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    # What goes wrong

    def cut(self) -> None:
        """Reset every open connection; new ones are taken."""
        self._command("cut")

    def refuse(self) -> None:
        """Stop listening, so that new connections are refused; open ones stay."""
        self._command("refuse")

    def starting_up(self) -> None:
        """Answer logins as a server that starts; open connections stay."""
        self._command("turn_away", ("57P03", "the database system is starting up"))

    def too_many(self) -> None:
        """Answer logins as a server that is full; open connections stay."""
        self._command("turn_away", ("53300", "sorry, too many clients already"))

    def refuse_logins(self) -> None:
        """Answer logins as a server that does not know the password; open connections stay."""
        self._command("turn_away", ("28P01", "password authentication failed"))

    def stall(self) -> None:
        """Let bytes vanish both ways with no reset, on new connections too.

        A connection that lost bytes is silent for ever; one that lost none goes on after ``heal``.
        """
        self._command("stall")

    def forget(self) -> None:
        """Let the connections open now be silent for ever, as a firewall does that lost their state."""
        self._command("forget")

    def slow(self, seconds: float) -> None:
        """Hold each query back for so long."""
        self._command("slow", seconds)

    def heal(self) -> None:
        """Relay as before: listening, at once, nothing vanishes."""
        self._command("heal")

    # What happened

    @property
    def counts(self) -> Counts:
        """Connections opened so far and open now, logins turned away, messages swallowed."""
        with self._changed:
            return self._counts

    def wait_for(self, holds: Callable[[Counts], bool], patience: float = PATIENCE) -> None:
        """Wait until the counts are as wanted. Raises ``TimeoutError`` with the counts."""
        self._wait(lambda: holds(self._counts), patience)

    def write_authority(self, file: Path) -> Path:
        """Write the certificate of the authority that signed the proxy's; returns the file."""
        assert self._authority
        self._authority.cert_pem.write_to_path(str(file))
        return file

    @contextlib.contextmanager
    def _certificate(self) -> Iterator[list[str]]:
        """The file of key and certificate, which is read once at the start."""
        if self._authority is None:
            yield []
            return
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "certificate.pem")
            self._authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
            yield [file]

    def _command(self, command: str, argument: object = None) -> None:
        assert self._process.stdin
        with self._sending:
            number = next(self._numbers)
            self._process.stdin.write(json.dumps([number, command, argument]) + "\n")
            self._process.stdin.flush()
        self._wait(lambda: self._done >= number)

    def _wait(self, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: holds() or self._has_ended, patience) or self._has_ended:
                raise TimeoutError(f"it did not come to be so: {self._counts}, ended: {self._has_ended}")

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            news = json.loads(line)
            with self._changed:
                self._done = news.pop("done")
                self._counts = Counts(**news)
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
