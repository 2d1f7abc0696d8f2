"""Work that is done once for all who ask for it at the same time."""

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Failed(Exception):
    """The work of somebody else came to nothing, which says little of one's own: they may have hung up."""


class Flight(Generic[T]):
    """One piece of work under way. ``began`` is its time by ``time.monotonic()``."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.landed: Future[T] = Future()

    def wait(self, deadline: float) -> T:
        """What came of it. Raises ``Failed``, and ``TimeoutError`` if it is not there by the deadline."""
        return self.landed.result(max(0.0, deadline - time.monotonic()))


class Flights(Generic[T]):
    """At most one piece of work under way for each key. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[Hashable, Flight[T]] = {}

    def join(self, key: Hashable) -> tuple[Flight[T], bool]:
        """The work under way for the key, and whether it is the caller's own to ``lead``."""
        with self._lock:
            if flight := self._by_key.get(key):
                return flight, False
            flight = self._by_key[key] = Flight()
            return flight, True

    def lead(self, key: Hashable, flight: Flight[T], work: Callable[[], T]) -> T:
        """Do the work, for all who joined. Raises what it does; to the others it has ``Failed``."""
        try:
            result = work()
        except BaseException:
            self._end(key)
            flight.landed.set_exception(Failed())
            raise
        self._end(key)
        flight.landed.set_result(result)
        return result

    def share(self, key: Hashable, arrived: float, deadline: float, work: Callable[[], T]) -> T:
        """The result of work that began after one arrived, one's own or somebody else's.

        Both times are by ``time.monotonic()``. Raises what the work does, and ``TimeoutError``.
        """
        while True:
            flight, is_own = self.join(key)
            if is_own:
                return self.lead(key, flight, work)
            try:
                result = flight.wait(deadline)
            except Failed:
                return work()
            if flight.began >= arrived:
                return result

    def _end(self, key: Hashable) -> None:
        """Let whoever comes now begin anew: the result is of a moment before."""
        with self._lock:
            del self._by_key[key]
