"""What a worker has counted, in a file that the others read and its successor goes on with."""

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

# All is 8 bytes wide. First comes how much of the file is used, then room for what finds none, then records:
# the length of the key in bytes, how many numbers there are, the key, filled up with blanks, the numbers.
WIDTH = 8
SCRAP = 1
LONGEST_RECORD = 32
FIRST_RECORD = SCRAP + LONGEST_RECORD
# Only annotations may say what is in a view.
Numbers: TypeAlias = "memoryview[float]"
# The file grows by so many bytes.
CHUNK = 1 << 16


class MetricFile:
    """The numbers of one worker. Whoever writes holds a lock; others may read at any time.

    A process that is killed leaves whole records: a new one counts only once it is complete.
    """

    def __init__(self, path: Path) -> None:
        """Open it, or go on with what is there. Raises ``OSError``."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._size = os.fstat(self._file).st_size // CHUNK * CHUNK
        if self._size:
            self._map()
        else:
            self._grow()
        self.numbers[0] = max(self.numbers[0], FIRST_RECORD)
        self._places = {key: place for key, place, _ in _walk(self._memory, self.numbers)}

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._file)

    def find(self, key: bytes, count: int) -> int:
        """Where in ``numbers``, which may be another object afterwards, so many of the key begin.

        Raises ``OSError`` when there is no room for them; what is counted at ``SCRAP`` nobody reads.
        """
        if key not in self._places:
            self._places[key] = self._append(key, count)
        return self._places[key]

    def _append(self, key: bytes, count: int) -> int:
        begin = int(self.numbers[0])
        place = begin + 2 + -(-len(key) // WIDTH)
        while (place + count) * WIDTH > self._size:
            self._grow()
        numbers = self.numbers
        numbers[begin], numbers[begin + 1] = len(key), count
        # The numbers as well: a process that was killed here may have left a part of another record.
        record = key.ljust((place - begin - 2) * WIDTH) + bytes(count * WIDTH)
        self._memory[(begin + 2) * WIDTH : (place + count) * WIDTH] = record
        numbers[0] = place + count
        return place

    def _grow(self) -> None:
        # Written, not only set aside: memory that is not there would end the process when it is touched.
        if os.pwrite(self._file, bytes(CHUNK), self._size) < CHUNK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += CHUNK
        self._map()

    def _map(self) -> None:
        self._memory = mmap.mmap(self._file, self._size)
        self.numbers: Numbers = memoryview(self._memory).cast("d")


def read_metric_file(path: Path) -> Iterator[tuple[bytes, Numbers]]:
    """Each key and its numbers. Raises ``OSError``."""
    data = path.read_bytes()
    numbers = memoryview(data)[: len(data) // WIDTH * WIDTH].cast("d")
    for key, place, count in _walk(data, numbers):
        yield key, numbers[place : place + count]


def _walk(data: bytes | mmap.mmap, numbers: Numbers) -> Iterator[tuple[bytes, int, int]]:
    """Each key, where its numbers begin, and how many they are."""
    begin, end = FIRST_RECORD, int(numbers[0]) if numbers else 0
    while begin < end:
        length, count = int(numbers[begin]), int(numbers[begin + 1])
        key, place = (begin + 2) * WIDTH, begin + 2 + -(-length // WIDTH)
        yield data[key : key + length], place, count
        begin = place + count
