"""Counts who calls what, how often and how much, and has that written once a minute."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.pool import UPKEEP
from lakebase_api.lakebase.write_behind import WriteBehind
from lakebase_api.sql.usage_table import UsageRow, UsageTable
from lakebase_api.telemetry.observation import ExportObservation, Observation
from lakebase_api.telemetry.tallies import Key, Tallies, Tally, TopCaller

logger = logging.getLogger(__name__)

SUCCESS = 2
NOT_WRITTEN = "Usage is not written: %s. `python -m lakebase_api doctor` says more"
# Adds rows to what is there within so many seconds. Raises what the database does.
Store = Callable[[Sequence[UsageRow], float], None]


class Usage:
    """Usage of one worker: an observer of requests. Safe to share between threads.

    ``store`` adds rows to those of all workers; ``find_use`` gives the time of ``time.monotonic()`` at which
    requests last asked for the database. ``clock`` gives that time now, and ``now`` the seconds since 1970.
    What takes no quota, as probes, documentation and the status page, is not counted.
    """

    def __init__(
        self,
        store: Store,
        find_use: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._tallies = Tallies(now)
        self._writes = WriteBehind[dict[Key, Tally]](
            self._take,
            lambda tallies, time_limit: store(self._tallies.list_rows(tallies), time_limit),
            self._settle,
            find_use,
            lambda reason: logger.warning(NOT_WRITTEN, reason),
            clock,
        )

    @property
    def is_failing(self) -> bool:
        """Whether what was counted could not be written the last time."""
        return self._writes.is_failing

    def begin(self) -> None:
        """It is counted when it is answered."""

    def observe(self, observation: Observation) -> None:
        """Count an answer."""
        if observation.route.is_free:
            return
        self._tallies.count(
            observation.subject,
            observation.method,
            observation.route,
            observation.status // 100,
            1,
            observation.rows,
            observation.size,
            observation.seconds,
            observation.cost,
        )

    def observe_export(self, export: ExportObservation) -> None:
        """Add what came after the head of the answer, which was counted as a request."""
        self._tallies.count(
            export.subject,
            "GET",
            export.route,
            SUCCESS,
            0,
            export.rows,
            export.size,
            export.seconds_after_head,
            export.cost,
        )

    def write(self) -> None:
        """Write what is due. To be called every ``write_behind.INTERVAL`` seconds."""
        self._writes.write()

    def close(self) -> None:
        """Write what is left, as the process ends."""
        self._writes.close()

    def list_unwritten(self) -> list[UsageRow]:
        """What was counted in the last 24 hours and is not written."""
        return self._tallies.list_unwritten()

    def top_callers(self, most: int) -> list[TopCaller]:
        """The callers with the most requests in the current hour to this worker, the first one first."""
        return self._tallies.top_callers(most)

    def _take(self, takes_all: bool) -> dict[Key, Tally] | None:
        return (self._tallies.copy_unwritten() or None) if takes_all else None

    def _settle(self, tallies: dict[Key, Tally], is_over: bool) -> None:
        # What is not over is still counted as not written.
        if is_over:
            self._tallies.note_written(tallies)


@dataclass(frozen=True)
class UsageStore:
    """Adds rows to the table by way of the service's connections."""

    database: Database
    schema: str

    def add(self, rows: Sequence[UsageRow], time_limit: float) -> None:
        """Add them within so many seconds. Raises what the database does."""
        background = Background(time.monotonic() + time_limit, flow=UPKEEP)
        self.database.write_for(background, lambda connection: self._add(connection, rows))

    def _add(self, connection: Connection, rows: Sequence[UsageRow]) -> None:
        UsageTable(connection, self.schema).add(rows)
