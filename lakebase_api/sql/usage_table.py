"""The table of who called what, how often and how much, by hour: the statements on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.own_tables import USAGE_TABLE

# Seconds.
HOUR = 3600
# Groups of one answer; it tells the busiest.
MOST_GROUPS = 10_000

# In the order of the key: of workers that write the same rows one waits, and none for the other.
ADD = """
INSERT INTO {table} AS usage
    (hour, subject, method, route, table_name, status_class, requests, rows, bytes, seconds, cost)
SELECT to_timestamp(hour::double precision * 3600), subject, method, route, table_name, status_class,
    requests, rows, bytes, seconds, cost
FROM jsonb_to_recordset(%s::jsonb) AS counted (
    hour bigint, subject text, method text, route text, table_name text, status_class smallint,
    requests bigint, rows bigint, bytes bigint, seconds double precision, cost double precision
)
ORDER BY hour, subject COLLATE "C", route COLLATE "C", method COLLATE "C", status_class
ON CONFLICT (hour, subject, route, method, status_class) DO UPDATE SET
    requests = usage.requests + excluded.requests,
    rows = usage.rows + excluded.rows,
    bytes = usage.bytes + excluded.bytes,
    seconds = usage.seconds + excluded.seconds,
    cost = usage.cost + excluded.cost
"""
SUM = """
SELECT {group},
    sum(requests)::bigint, coalesce(sum(requests) FILTER (WHERE status_class >= 4), 0)::bigint,
    sum(rows)::bigint, sum(bytes)::bigint, sum(seconds), sum(cost)
FROM {table}
WHERE hour >= to_timestamp(%s) AND hour < to_timestamp(%s)
GROUP BY {group}
ORDER BY sum(requests) DESC, {group}
LIMIT {most}
"""
HOUR_NUMBER = "(extract(epoch FROM hour) / 3600)::bigint"


class By(StrEnum):
    """By what usage is told."""

    CALLER = "caller"
    ROUTE = "route"
    TABLE = "table"


COLUMNS: Mapping[By, tuple[str, ...]] = {
    By.CALLER: ("subject",),
    By.ROUTE: ("method", "route", "table_name"),
    By.TABLE: ("table_name",),
}


class UsageRow(msgspec.Struct, frozen=True):
    """What one caller had of one route in one hour, with answers of one class, such as 2 for 200 to 299.

    ``hour`` is counted since 1970, in UTC. ``seconds`` and ``cost``, in units of quotas, are sums.
    """

    hour: int
    subject: str
    method: str
    route: str
    table_name: str | None
    status_class: int
    requests: int
    rows: int
    bytes: int
    seconds: float
    cost: float


@dataclass
class Total:
    """What was had of a group. ``seconds`` and ``cost`` are sums."""

    requests: int = 0
    errors: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def add(self, row: UsageRow) -> None:
        """Have a row in it too."""
        self.requests += row.requests
        self.errors += row.requests if row.status_class >= 4 else 0
        self.rows += row.rows
        self.bytes += row.bytes
        self.seconds += row.seconds
        self.cost += row.cost


@dataclass(frozen=True)
class Grouping:
    """How usage is told: of hours from ``start`` to before ``end``, each by itself if ``per_hour``."""

    by: By
    start: int
    end: int
    per_hour: bool

    def find_group(self, row: UsageRow) -> tuple[object, ...] | None:
        """The group of a row; ``None`` if it is of another time."""
        if not self.start <= row.hour < self.end:
            return None
        hour = (row.hour,) if self.per_hour else ()
        return (*hour, *(getattr(row, name) for name in COLUMNS[self.by]))


@dataclass(frozen=True)
class UsageTable:
    """The table in a schema, on a connection in autocommit mode. Each method raises psycopg's errors."""

    connection: Connection
    schema: str

    @property
    def may_work(self) -> bool:
        """Whether there is one, and the session may do with it what the service does."""
        return USAGE_TABLE.allows(self.connection, self.schema, USAGE_TABLE.privileges)

    def add(self, rows: Sequence[UsageRow]) -> None:
        """Add to what is there: in one statement, and so all of it or nothing."""
        statement = sql.SQL(ADD).format(table=self._name)
        self.connection.execute(statement, (msgspec.json.encode(rows).decode(),))

    def sum_up(self, grouping: Grouping) -> dict[tuple[object, ...], Total]:
        """What there is by group, of the ``MOST_GROUPS`` busiest groups."""
        columns: list[sql.Composable] = [sql.Identifier(name) for name in COLUMNS[grouping.by]]
        if grouping.per_hour:
            columns.insert(0, sql.SQL(HOUR_NUMBER))
        statement = sql.SQL(SUM).format(
            group=sql.SQL(", ").join(columns), table=self._name, most=sql.Literal(MOST_GROUPS)
        )
        values = (grouping.start * HOUR, grouping.end * HOUR)
        totals = {}
        for row in self.connection.execute(statement, values):
            group, counts, sums = row[: len(columns)], row[len(columns) : -2], row[-2:]
            # Floats are read as the texts that lists show.
            totals[group] = Total(*counts, *map(float, sums))
        return totals

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(self.schema, USAGE_TABLE.name)
