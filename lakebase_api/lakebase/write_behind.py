"""Writes what was done while the database is awake, without any request waiting for it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import psycopg

from lakebase_api.lakebase.database import OutcomeUnknown
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.pool import DatabaseUnavailable, DeadlineExceeded
from lakebase_api.lakebase.setup_faults import NotSetUp

# Seconds between two looks at what is to be written.
INTERVAL = 2.0
# Seconds between two batches of what waits for others to use the database. By a clock that all workers of a
# host have in common: each write makes the ETags of lists others, and so they do that together.
PERIOD = 60.0
# Seconds between two tries in vain, and where only somebody with other rights can mend it: each try is an
# error in the log of the database.
PAUSE = 60.0
PAUSE_UNTIL_SET_UP = 600.0
# Seconds after which a use of the database is none any more: what was done at the last one is still written,
# within a period and a look or two, and then an idle compute may suspend.
LONGEST_USE = 70.0
# Seconds that writing takes at most, and the same when the process ends.
TIME_LIMIT = 10.0
LAST_TIME_LIMIT = 2.0
CANNOT_WRITE = (psycopg.Error, DatabaseUnavailable, DeadlineExceeded, NotSetUp)

Batch = TypeVar("Batch")


class WriteBehind(Generic[Batch]):
    """Writes batches of what waits. Safe to share between threads; one batch is written at a time.

    ``take`` gives what is to be written, if anything: all of it if it is given ``True``, as it is once in a
    ``PERIOD`` while others use the database, else what need not wait for them. ``store`` writes it within so
    many seconds and raises what the database does. Then ``settle`` is called with it, and with whether it is
    over: what is not waits for the next time. ``find_use`` gives the time of ``time.monotonic()`` at which
    somebody else last used the database. ``warn`` is told why nothing can be written, once.
    """

    def __init__(
        self,
        take: Callable[[bool], Batch | None],
        store: Callable[[Batch, float], None],
        settle: Callable[[Batch, bool], None],
        find_use: Callable[[], float],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._store = store
        self._settle = settle
        self._find_use = find_use
        self._warn = warn
        self._clock = clock
        self._writing = threading.Lock()
        self._period = self._find_period()
        self._rest_ends: float | None = None

    @property
    def is_failing(self) -> bool:
        """Whether what waits could not be written the last time."""
        return self._rest_ends is not None

    def write(self) -> None:
        """Write what is due. To be called every ``INTERVAL`` seconds."""
        with self._writing:
            was_used = self._was_used()
            if self._rest_ends is not None and not (was_used and self._clock() > self._rest_ends):
                return
            period_before, self._period = self._period, self._find_period()
            self._write(TIME_LIMIT, takes_all=was_used and self._period != period_before)

    def close(self) -> None:
        """Write what is left, as the process ends."""
        if self._writing.acquire(timeout=LAST_TIME_LIMIT):
            try:
                self._write(LAST_TIME_LIMIT, takes_all=self._was_used())
            finally:
                self._writing.release()

    def _find_period(self) -> int:
        return int(self._clock() // PERIOD)

    def _was_used(self) -> bool:
        return self._find_use() > self._clock() - LONGEST_USE

    def _write(self, time_limit: float, *, takes_all: bool) -> None:
        batch = self._take(takes_all)
        if batch is None:
            return
        try:
            self._store(batch, time_limit)
        except psycopg.DataError as error:  # it would be so the next time
            self._warn(first_line(error))
        except OutcomeUnknown:  # the next time it might be written twice
            self._warn("the connection was lost meanwhile")
        except CANNOT_WRITE as error:
            self._settle(batch, False)
            self._rest(error)
            return
        else:
            self._rest_ends = None
        self._settle(batch, True)

    def _rest(self, error: Exception) -> None:
        if self._rest_ends is None:
            self._warn(first_line(error))
        pause = PAUSE_UNTIL_SET_UP if isinstance(error, NotSetUp) else PAUSE
        self._rest_ends = self._clock() + pause
