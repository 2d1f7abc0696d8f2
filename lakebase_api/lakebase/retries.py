"""Which failures of a query are worth another try: one rule for pooled and dedicated connections."""

import random
import time

import psycopg
from psycopg import errors

from lakebase_api.lakebase.connection import Connection

# The server undid the statement and says that the same one may succeed now.
CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
# Nothing will go well on this connection any more: the server ends, or starts, or is no longer the primary.
LOSSES = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.ReadOnlySqlTransaction,
)
# Pauses between tries double from the first to the longest, in seconds.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


def is_lost(connection: Connection, error: BaseException | None) -> bool:
    """Whether the connection is of no more use after its query ended with this error, or well."""
    return connection.closed or isinstance(error, LOSSES)


class Retries:
    """The tries of one query, for one thread.

    It is tried again when its connection was lost, until ``deadline``, a time of ``time.monotonic()``, but at
    most ``max_losses`` times where that is set; and after ``max_conflicts`` conflicts.
    """

    def __init__(self, deadline: float, *, max_conflicts: int = 1, max_losses: int | None = None) -> None:
        self._deadline = deadline
        self._max_conflicts = max_conflicts
        self._max_losses = max_losses
        self._conflicts = self._losses = self._pauses = 0

    def allow(self, error: psycopg.OperationalError, *, is_lost: bool) -> bool:
        """Whether there is to be another try after this error; counts it."""
        if isinstance(error, CONFLICTS):
            self._conflicts += 1
            has_tries = self._conflicts <= self._max_conflicts
        else:
            self._losses += 1
            has_tries = is_lost and (self._max_losses is None or self._losses <= self._max_losses)
        return has_tries and time.monotonic() < self._deadline

    def pause(self) -> None:
        """Wait before the next try: not at all the first time, then longer and longer, with jitter."""
        if self._pauses:
            pause = min(FIRST_PAUSE * 2**self._pauses, LONGEST_PAUSE) * random.random()
            time.sleep(max(0.0, min(pause, self._deadline - time.monotonic())))
        self._pauses += 1
