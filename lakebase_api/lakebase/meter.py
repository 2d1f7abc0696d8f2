"""What is told of the way to the database to whoever counts it."""

from typing import Protocol


class Meter(Protocol):
    """Is told how connections and tokens are had and used.

    Each method may be called from any thread, must not block, and never raises. Durations are in seconds, and
    times those of ``time.monotonic()``, which all processes of a host have in common.
    """

    def note_use(self, waited: float, held: float) -> None:
        """A connection of the pool was waited for, held, and given back."""
        ...

    def note_no_connection(self, waited: float) -> None:
        """Whoever waited for a connection of the pool got none."""
        ...

    def note_connect(self, seconds: float) -> None:
        """A connection was opened."""
        ...

    def note_wake(self, began: float, ended: float) -> None:
        """The database was away in between, and came back: it slept, started again or was out of reach."""
        ...

    def note_retry(self) -> None:
        """A query was tried again."""
        ...

    def note_refresh(self, *, succeeded: bool) -> None:
        """The workspace was asked for a token."""
        ...

    def note_replica(self, outcome: str) -> None:
        """A replica was to answer a read; what became of that."""
        ...


class NoMeter:
    """Counts nothing."""

    def note_use(self, waited: float, held: float) -> None:
        """As ``Meter`` has it."""

    def note_no_connection(self, waited: float) -> None:
        """As ``Meter`` has it."""

    def note_connect(self, seconds: float) -> None:
        """As ``Meter`` has it."""

    def note_wake(self, began: float, ended: float) -> None:
        """As ``Meter`` has it."""

    def note_retry(self) -> None:
        """As ``Meter`` has it."""

    def note_refresh(self, *, succeeded: bool) -> None:
        """As ``Meter`` has it."""

    def note_replica(self, outcome: str) -> None:
        """As ``Meter`` has it."""


NO_METER: Meter = NoMeter()
