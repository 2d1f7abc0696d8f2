"""Reads from a replica, if there is one that has come far enough; else the primary has to answer."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from enum import StrEnum
from typing import Self, TypeVar

from psycopg import errors

from lakebase_api.lakebase.caller import Caller
from lakebase_api.lakebase.connection import REPLICA, Connection
from lakebase_api.lakebase.database import UNAVAILABLE, Database, NotRead, Query, Use
from lakebase_api.lakebase.failures import classify
from lakebase_api.lakebase.meter import Meter
from lakebase_api.lakebase.pool import Pool
from lakebase_api.lakebase.setup_faults import FAULTS_MET, NotSetUp, SetupLog
from lakebase_api.lakebase.statements import FIND_POSITION, ReplicaBehind, execute
from lakebase_api.lakebase.target import Target
from lakebase_api.lakebase.watchdog import Watchdog
from lakebase_api.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The beginning of the write-ahead log, which every replica is behind.
ANYWHERE = "0/0"
# Seconds of a request's time that are kept for the primary; half of them if it has less.
RESERVE = 5.0
NOT_ANSWERED: tuple[type[Exception], ...] = (*UNAVAILABLE, *FAULTS_MET, NotSetUp)
NO_REPLICA = "it is not in recovery, or does not say how far it is: everything is read from the primary"


class Outcome(StrEnum):
    """What became of a read that a replica was to answer."""

    ANSWERED = "answered"
    # It has not come as far as the request demands.
    BEHIND = "behind"
    # There was no connection to it, or none free.
    AWAY = "away"
    # It cancelled the statement, was lost meanwhile, or has not what the statement reads.
    FAILED = "failed"


class ReplicaReads:
    """The replica of these settings, as it is read. Safe to share between threads once ``pool`` is open.

    ``meter`` is told what became of each read.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        find_caller: Callable[[], Caller],
        setups: Mapping[str, SetupLog],
        watchdog: Watchdog,
        meter: Meter,
    ) -> None:
        self.pool = Pool(settings, target, self._greet, server=REPLICA)
        # No query is of no table.
        of_no_table = SetupLog(lambda connection: ())
        self._database = Database(
            settings, self.pool, of_no_table, find_caller, setups, watchdog, server=REPLICA
        )
        self._tell = meter.note_replica
        self._state = _State()

    def check(self) -> str | None:
        """Why nothing is read from it, or ``None``. Does not block."""
        error = self.pool.connects.error
        return classify(error).said if error else self._state.fault

    def for_table(self, name: str) -> Self:
        """The same for queries on that declared table."""
        bound = copy(self)
        bound._database = self._database.for_table(name)
        return bound

    def _greet(self, connection: Connection) -> None:
        """Ask on a new connection whether it is one that says how far it is. Raises psycopg's errors."""
        [(_, is_usable)] = execute(connection, FIND_POSITION, (ANYWHERE,)).fetchall()
        fault = None if is_usable else NO_REPLICA
        if fault and fault != self._state.fault:
            logger.warning("The replica is of no use: %s", fault)
        self._state.fault = fault

    def read(self, caller: Caller, query: Query[T]) -> T:
        """The result of the query. Raises ``NotRead``, and ``QueryCanceled`` when it took too long."""
        return self._read(caller, query, lambda deadline: nullcontext())

    def read_long(self, caller: Caller, query: Query[T]) -> T:
        """As ``read``, for a statement that may go through the whole table: few of those run at once."""
        return self._read(caller, query, lambda deadline: self.pool.take_long_turn(caller.flow, deadline))

    def _read(
        self, caller: Caller, query: Query[T], take_turn: Callable[[float], AbstractContextManager[None]]
    ) -> T:
        if self._state.fault:
            raise NotRead
        use = Use(find_deadline(caller.deadline))
        try:
            with take_turn(use.deadline):
                result = self._database.use(query, caller, use)
        except errors.QueryCanceled:
            raise
        except NotRead:
            self._tell(Outcome.FAILED)
            raise
        except ReplicaBehind as error:
            self._tell(Outcome.BEHIND)
            raise NotRead from error
        except NOT_ANSWERED as error:
            self._tell(Outcome.FAILED if use.sent else Outcome.AWAY)
            raise NotRead from error
        self._tell(Outcome.ANSWERED)
        return result


class _State:
    """What all that are bound to a table have in common."""

    fault: str | None = None


def find_deadline(deadline: float) -> float:
    """Until when the replica has time, of a request that has until ``deadline``."""
    now = time.monotonic()
    return deadline - min(RESERVE, max(0.0, deadline - now) / 2)
