"""A folder in memory that the workers of one server share."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# A folder there never waits for a disk, and a read-only file system is enough.
MEMORY = Path("/dev/shm")  # noqa: S108  the folder's name cannot be guessed, and nobody else may enter it
PREFIX = "lakebase-api-"
LOCK = "lock"


class WorkerFolder:
    """The folder of one server. Make it before the fork; whoever made it removes it.

    Where its process was killed, the next one that makes such a folder removes it: a lock, which the system
    takes back from a process that is gone, says whether anybody still has it.
    https://pubs.opengroup.org/onlinepubs/9799919799/functions/fcntl.html
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._maker = 0
        self._lock = -1

    @property
    def path(self) -> Path:
        """Where it is, once open."""
        assert self._path, "the folder is not open"
        return self._path

    def open(self) -> None:
        """Make it; once is enough. Raises ``OSError``."""
        if self._path is not None:
            return
        parent = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        _sweep(parent)
        while True:
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            self._lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            # Of the open file, which processes that are forked later have in common.
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            if path.is_dir():
                break
            # Another server that starts had the lock first, and removed the folder.
            os.close(self._lock)
        self._path, self._maker = path, os.getpid()

    def close(self) -> None:
        """Remove it, in the process that made it; in others nothing happens."""
        if self._path is not None and self._maker == os.getpid():
            shutil.rmtree(self._path, ignore_errors=True)
            os.close(self._lock)
            self._path = None


def _sweep(parent: Path) -> None:
    """Remove folders that no process has any more."""
    for folder in _find_own(parent):
        with contextlib.suppress(OSError):  # somebody else's, or in use, or gone by now
            lock = os.open(folder / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _find_own(parent: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from parent.glob(f"{PREFIX}*")
