"""A few things that many take turns with: first come, first served."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """The things that are free, and who waits for one. Safe to share between threads."""

    def __init__(self, things: Iterable[T]) -> None:
        self._lock = threading.Lock()
        self._free = list(things)
        self._waiting: deque[Future[T]] = deque()

    @contextmanager
    def take(self, seconds: float) -> Iterator[T]:
        """One of the things, for as long as the context lasts. Raises ``TimeoutError`` after so many seconds.

        Who comes back for another is behind those who wait already: a semaphore has no such order.
        """
        thing = self._wait(seconds)
        try:
            yield thing
        finally:
            self._pass_on(thing)

    def _wait(self, seconds: float) -> T:
        with self._lock:
            if self._free:
                return self._free.pop()
            turn: Future[T] = Future()
            self._waiting.append(turn)
        try:
            return turn.result(max(0.0, seconds))
        except TimeoutError:
            with self._lock:
                if not turn.done():
                    self._waiting.remove(turn)
                    raise
            return turn.result()  # it came in this moment

    def _pass_on(self, thing: T) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set_result(thing)
            else:
                self._free.append(thing)
