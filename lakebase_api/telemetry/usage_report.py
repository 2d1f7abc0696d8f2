"""Sums up usage: what is written, and what the workers of this server have counted since."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.sql.usage_table import MOST_GROUPS, Grouping, Total, UsageRow, UsageTable
from lakebase_api.telemetry.peers import State

# Under this name a worker tells its rows.
ROWS = "rows"


@dataclass(frozen=True)
class UsageReport:
    """What was had of each group.

    ``is_written``: it is kept in the database, and not in memory alone. ``is_complete``: all workers
    answered, and there were no more groups.
    """

    totals: Mapping[tuple[object, ...], Total]
    is_written: bool
    is_complete: bool


@dataclass(frozen=True)
class UsageReports:
    """Makes reports. Safe to share between threads.

    ``ask_workers`` gives what each worker of this server says of what it has not written; ``is_failing`` says
    whether this one could not the last time.
    """

    database: Database
    schema: str
    ask_workers: Callable[[], list[State]]
    is_failing: Callable[[], bool]

    def build(self, grouping: Grouping) -> UsageReport:
        """The report. What is written in between is missing. Raises as ``Database.read_long`` does."""
        written = self.database.read_long(lambda connection: self._read(connection, grouping))
        totals = {} if written is None else written
        is_complete = len(totals) < MOST_GROUPS
        workers = self.ask_workers()
        for row in _list_rows(workers):
            group = grouping.find_group(row)
            if group is not None:
                totals.setdefault(group, Total()).add(row)
        is_written = written is not None and not self.is_failing()
        return UsageReport(totals, is_written, is_complete and all(ROWS in state for state in workers))

    def _read(self, connection: Connection, grouping: Grouping) -> dict[tuple[object, ...], Total] | None:
        """What is written; ``None`` where the service may not write it."""
        table = UsageTable(connection, self.schema)
        return table.sum_up(grouping) if table.may_work else None


def _list_rows(workers: list[State]) -> Iterator[UsageRow]:
    for state in workers:
        # This worker's own are rows already.
        yield from msgspec.convert(state.get(ROWS, []), list[UsageRow])
