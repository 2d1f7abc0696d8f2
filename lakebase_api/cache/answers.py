"""Answers that are kept in memory, up to so many bytes."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

# Bytes of an answer beyond those of its body, headers and key: the objects that hold it.
OVERHEAD = 1_000


@dataclass
class Answer:
    """An answer as it can be sent again. Times are by ``time.monotonic()``, in seconds.

    ``state`` is the state of the database that it was read in, if that is known. ``known_at`` is a time at
    which it was right, and ``good_until`` one from which on it may not be shown. ``key_size`` are the bytes
    of its key, which a client may make as long as a URL.
    """

    body: bytes
    headers: Sequence[tuple[str, str]]
    rows: int
    state: str | None
    known_at: float
    good_until: float = math.inf
    key_size: int = 0

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return OVERHEAD + self.key_size + len(self.body) + headers


@dataclass(frozen=True)
class Use:
    """How much of the memory is in use, and how often an answer had to make room for another."""

    answers: int
    bytes: int
    evictions: int


class Answers:
    """The answers that were used last, by key, of so many bytes at most. Safe to share between threads."""

    def __init__(self, most_bytes: int, note_eviction: Callable[[], None] = lambda: None) -> None:
        self._most_bytes = most_bytes
        self._note_eviction = note_eviction
        self._lock = threading.Lock()
        # The one that was used last is at the end.
        self._by_key: OrderedDict[Hashable, Answer] = OrderedDict()
        self._bytes = self._evictions = 0

    @property
    def use(self) -> Use:
        """How much there is of them now."""
        with self._lock:
            return Use(len(self._by_key), self._bytes, self._evictions)

    def find(self, key: Hashable) -> Answer | None:
        """The answer of the key, which counts as used."""
        with self._lock:
            answer = self._by_key.get(key)
            if answer:
                self._by_key.move_to_end(key)
            return answer

    def keep(self, key: Hashable, answer: Answer) -> None:
        """Keep an answer in the place of the one before."""
        with self._lock:
            self._drop(key)
            self._by_key[key] = answer
            self._bytes += answer.size
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._by_key)))
                self._evictions += 1
                self._note_eviction()

    def _drop(self, key: Hashable) -> None:
        if answer := self._by_key.pop(key, None):
            self._bytes -= answer.size
