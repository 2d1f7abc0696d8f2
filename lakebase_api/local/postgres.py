"""An embedded PostgreSQL server: it ends with its owner, listens on loopback only, asks for a password."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from psycopg.conninfo import make_conninfo

from lakebase_api.local.binaries import Binaries, find_binaries, usable_binaries
from lakebase_api.local.child_process import Leash, Step
from lakebase_api.local.cluster import BYTES, SUPERUSER, create_cluster
from lakebase_api.local.data_folder import choose_home, lock_home, read_password, unlock_home
from lakebase_api.local.disk import FULL, full_disk, require_space
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.os_user import ENVIRONMENT, unprivileged_account
from lakebase_api.local.ports import HOST, free_port
from lakebase_api.local.server_log import LogExcerpt

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # their paths may have 107 bytes at most
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Nothing replicates from here: a table loaded in the transaction that made it needs no write-ahead log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
# SIGINT: drop the clients, write a checkpoint. SIGQUIT: leave at once, recover at the next start.
STOP = (Step(signal.SIGINT, 15), Step(signal.SIGQUIT, 5))
START_PATIENCE = 60.0  # seconds; recovery after a crash is part of a start
PID_FILE = "postmaster.pid"


class EmbeddedPostgres:
    """One server in one folder. A context manager: starts on entry, stops on exit.

    After `stop` it may be started again, on the same port. Not for use by several threads at once.
    """

    host = HOST
    user = SUPERUSER

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
        discard: bool = False,
    ) -> None:
        """`settings` are PostgreSQL's own (`-c`); `binaries` a folder to take in place of those found.

        `discard` deletes the data when the context is left.
        """
        self._wanted_folder = folder
        self._settings = {**SETTINGS, **(settings or {})}
        self._chosen_binaries = binaries
        self._discard = discard
        self._account = unprivileged_account()
        self._leash: Leash | None = None
        self._lock: int | None = None
        self.password = ""
        self._pid: int | None = None
        self._log = LogExcerpt(Path(os.devnull))
        self.home = folder  # where the data really is, once started: see choose_home
        self.data = folder
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate" if self._discard else "fast")
        if self._discard:
            shutil.rmtree(self.home)

    @property
    def log_path(self) -> Path:
        """What the server wrote, over all its starts."""
        return self.home / "server.log"

    def conninfo(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """A connection string for psycopg, secret included; the superuser's unless another is named."""
        secret = self.password if password is None else password
        return make_conninfo(
            host=HOST, port=self.port, user=user, password=secret, dbname=database, sslmode="disable"
        )

    def start(self) -> None:
        """Make the cluster if there is none, start the server, return when it takes connections.

        Raises LocalFailure, with one line for people, when that cannot be.
        """
        self.home = choose_home(self._wanted_folder, self._account)
        self._lock = lock_home(self.home)
        try:
            self._launch(self._prepare(self._lock), self._lock)
        except BaseException as error:
            self.stop("immediate")
            if isinstance(error, OSError) and FULL in str(error):
                raise full_disk(self.home) from error
            raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server and wait until it is gone: after a checkpoint, or at once as in a crash."""
        if self._leash is not None:
            if mode == "immediate" and self._pid is not None and self._leash.poll() is None:
                with contextlib.suppress(ProcessLookupError):  # it crashed, and its leash has not seen it yet
                    os.kill(self._pid, signal.SIGQUIT)
            self._leash.end()
        self._leash = self._pid = None
        if self._lock is not None:
            unlock_home(self._lock)
            self._lock = None

    def explain(self, error: Exception) -> LocalFailure:
        """The failure to raise when the server ended the work of a client, with the client's `error`."""
        return self._log.explain("PostgreSQL gave up", str(error))

    def _prepare(self, lock: int) -> Binaries:
        """Have programs, password and cluster in place; returns the programs."""
        found = find_binaries(self._chosen_binaries)
        self.data = self.home / f"pg{found.major}"
        is_new = not self.data.exists()
        if is_new:
            require_space(self.home, BYTES, "PostgreSQL")
        binaries = usable_binaries(found, self._account, self.home)
        self.password = read_password(self.home, self._account)
        if is_new:
            durable = self._settings.get("fsync") != "off"
            password = self.home / "password"
            create_cluster(binaries, self.data, password, self._account, lock=lock, durable=durable)
        return binaries

    def _launch(self, binaries: Binaries, lock: int) -> None:
        """Start the server and wait until its pid file says that it is ready."""
        self.port = self.port or free_port()
        self._log = LogExcerpt(self.log_path)
        stale = read_lines(self.data / PID_FILE)  # a crash leaves it, and "ready" in it
        settings = [f"-c{name}={value}" for name, value in {**self._settings, "port": str(self.port)}.items()]
        command = [str(binaries.folder / "postgres"), "-D", str(self.data), *settings]
        with self.log_path.open("ab") as log:
            self._leash = Leash(
                command, stop=STOP, env=ENVIRONMENT, account=self._account, output=log, keep_open=[lock]
            )
        deadline = time.monotonic() + START_PATIENCE
        while self._leash.poll() is None and time.monotonic() < deadline:
            lines = read_lines(self.data / PID_FILE)
            if lines != stale and [line.strip() for line in lines[7:]] == ["ready"]:
                self._pid = int(lines[0])
                return
            time.sleep(0.01)
        raise self._log.explain("PostgreSQL does not start")


def read_lines(path: Path) -> list[str]:
    """The file's lines, none if it is not there."""
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
