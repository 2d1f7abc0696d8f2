"""A file that one process of a server at a time renews, and all of them read."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class RenewedFile:
    """A file in a folder that only the processes of one server have. For one thread at a time.

    Where the folder has no room for it each process goes by what it found itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        """What was written last, whole; ``None`` if nothing was."""
        with suppress(OSError):
            return self._path.read_bytes()
        return None

    def write(self, content: bytes) -> None:
        """Put this in its place, at once for whoever reads."""
        written = self._path.with_suffix(".new")
        with suppress(OSError):
            written.write_bytes(content)
            written.replace(self._path)

    @contextmanager
    def renewing(self) -> Iterator[bool]:
        """Hold on to it; says whether that is so: if not, another process is about to renew it.

        The system takes it back from a process that is gone.
        """
        try:
            lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:  # the server is ending, or has no room: nobody else is to be waited for
            yield True
            return
        try:
            yield _take(lock)
        finally:
            os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
