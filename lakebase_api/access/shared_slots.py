"""Numbers by key, in memory shared by forked processes, that a process killed at any moment leaves usable."""

import fcntl
import mmap
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# A key of 16 bytes, when its window ends, and what was used in it.
SLOT = struct.Struct("=16sdd")
SLOTS_OF_BUCKET = 8
BUCKETS = 512
BUCKET_BYTES = SLOT.size * SLOTS_OF_BUCKET
# A file there never waits for a disk, and a read-only file system is enough.
MEMORY = Path("/dev/shm")  # noqa: S108  the file has no name


@dataclass
class Slot:
    """What is kept of a key: nothing at first."""

    ends: float = 0.0
    used: float = 0.0


class SharedSlots:
    """4,096 slots. Safe to share between threads, and between processes forked after it was made.

    A key has its place in one of the buckets; where a bucket is full, the slot whose window ends first makes
    room. The lock of a bucket is one of a range of a file: unlike a semaphore the system takes it back from a
    process that is killed. It says nothing of threads, which have a lock of their own.
    https://pubs.opengroup.org/onlinepubs/9799919799/functions/fcntl.html
    """

    def __init__(self) -> None:
        # Stays open for as long as its memory is there: the locks are of the file.
        self._file = tempfile.TemporaryFile(dir=MEMORY if MEMORY.is_dir() else None)  # noqa: SIM115
        self._file.truncate(BUCKET_BYTES * BUCKETS)
        self._memory = mmap.mmap(self._file.fileno(), BUCKET_BYTES * BUCKETS)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the memory, which is gone with the last process that has it."""
        with self._lock:
            self._memory.close()
            self._file.close()

    @contextmanager
    def hold(self, key: bytes) -> Iterator[Slot]:
        """The slot of a key of 16 bytes, for nobody else meanwhile; written back in the end."""
        begin = BUCKET_BYTES * (int.from_bytes(key[:4], "little") % BUCKETS)
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, BUCKET_BYTES, begin)
            try:
                place, slot = self._find(key, begin)
                yield slot
                SLOT.pack_into(self._memory, place, key, slot.ends, slot.used)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, BUCKET_BYTES, begin)

    def _find(self, key: bytes, begin: int) -> tuple[int, Slot]:
        places = range(begin, begin + BUCKET_BYTES, SLOT.size)
        found = [SLOT.unpack_from(self._memory, place) for place in places]
        for place, (kept, ends, used) in zip(places, found, strict=True):
            if kept == key:
                return place, Slot(ends, used)
        first = min(range(SLOTS_OF_BUCKET), key=lambda number: found[number][1])
        return places[first], Slot()
