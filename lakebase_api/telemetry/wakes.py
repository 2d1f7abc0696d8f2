"""When the database last came back, as all workers of a server know it."""

import fcntl
import os
import struct
from pathlib import Path

NAME = "last-wake"
TIME = struct.Struct("d")


class Wakes:
    """Has each wake counted once, however many workers notice. Safe to share between threads and processes.

    Times are of ``time.monotonic()``, which the processes of a host have in common.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def is_first(self, began: float, ended: float) -> bool:
        """Whether nobody has told of the wake yet: none ended since it began. Raises ``OSError``."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            kept = os.pread(file, TIME.size, 0)
            last: float = TIME.unpack(kept)[0] if kept else float("-inf")
            os.pwrite(file, TIME.pack(max(last, ended)), 0)
        finally:
            os.close(file)
        return last < began
