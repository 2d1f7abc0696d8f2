"""A few things that many take turns with: a free one goes to whoever has fewest, so that nobody starves."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Share:
    """What a flow has: turns that have come or are waited for, things in use, and when it last got one."""

    turns = in_use = served = 0


class Turn(Generic[T]):
    """One flow's turn, which has come or is waited for. For one thread at a time.

    A flow is all that is asked on behalf of one caller.
    """

    def __init__(self, turns: "Turns[T]", flow: str, share: Share) -> None:
        self._turns = turns
        self.flow = flow
        self.share = share
        self.thing: T | None = None
        self.has_come: threading.Event | None = None

    def wait(self, seconds: float) -> T:
        """The thing. Raises ``TimeoutError`` after so many seconds; the place in the queue is kept."""
        if self.has_come and not self.has_come.wait(max(0.0, seconds)):
            raise TimeoutError
        assert self.thing is not None
        return self.thing

    def end(self) -> None:
        """Give the thing back, or leave the queue."""
        self._turns.end(self)


class Turns(Generic[T]):
    """The things that are free, and who waits for one. Safe to share between threads.

    A thing that becomes free goes to the flow that has the fewest, and among equals to the one that last got
    one longest ago: however many turns one flow asks for, another that asks for one gets the next.
    """

    def __init__(self, things: Iterable[T]) -> None:
        self._lock = threading.Lock()
        self._free = list(things)
        self._most = len(self._free)
        # Of those who have or await something.
        self._shares: dict[str, Share] = {}
        self._lent = self._lent_ever = 0
        self._waiting: list[Turn[T]] = []
        # How many turns ended before they came.
        self.given_up = 0

    @property
    def lent(self) -> int:
        """How many things are lent."""
        return self._lent

    @property
    def waiting(self) -> int:
        """How many turns are waited for."""
        return len(self._waiting)

    def ask(self, flow: str) -> Turn[T]:
        """A turn, which has come if a thing is free. Whoever asks has to end it."""
        with self._lock:
            share = self._shares.get(flow) or self._shares.setdefault(flow, Share())
            share.turns += 1
            turn = Turn(self, flow, share)
            if self._lent < self._most:
                self._lend(turn)
            else:
                turn.has_come = threading.Event()
                self._waiting.append(turn)
        return turn

    @contextmanager
    def take(self, flow: str, seconds: float) -> Iterator[T]:
        """One of the things, while the context lasts. Raises ``TimeoutError`` after so many seconds."""
        turn = self.ask(flow)
        try:
            yield turn.wait(seconds)
        finally:
            turn.end()

    def limit(self, most: int) -> None:
        """Lend so many at most from now on, which are no more than there are."""
        with self._lock:
            self._most = most
            self._pass_on()

    def end(self, turn: Turn[T]) -> None:
        """As ``Turn.end``."""
        share = turn.share
        with self._lock:
            share.turns -= 1
            if not share.turns:
                del self._shares[turn.flow]
            if turn.thing is None:
                self._waiting.remove(turn)
                self.given_up += 1
                return
            self._free.append(turn.thing)
            self._lent -= 1
            share.in_use -= 1
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting and self._lent < self._most:
            # Of several turns of a flow the first.
            turn = min(self._waiting, key=_rank)
            self._waiting.remove(turn)
            self._lend(turn)
            assert turn.has_come
            turn.has_come.set()

    def _lend(self, turn: Turn[T]) -> None:
        turn.thing = self._free.pop()
        self._lent += 1
        self._lent_ever += 1
        turn.share.in_use += 1
        turn.share.served = self._lent_ever


def _rank(turn: Turn[T]) -> tuple[int, int]:
    return turn.share.in_use, turn.share.served
