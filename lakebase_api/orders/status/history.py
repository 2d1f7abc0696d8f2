"""The history of an order's status."""

from datetime import datetime

import msgspec
from psycopg import sql

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders import overlay
from lakebase_api.orders.order import Source
from lakebase_api.orders.reading import fetch_all


class Change(msgspec.Struct, frozen=True):
    """One change. ``synced_status`` is what the orders table had at that time, where it is a synced one."""

    version: int
    old_status: str | None
    new_status: str | None
    synced_status: str | None
    is_withdrawal: bool
    changed_at: datetime
    changed_by: str
    request_id: str


class History(msgspec.Struct, frozen=True):
    """The status of an order as it is shown and as its table has it, and a page of its changes, newest first.

    ``status_conflict``: the table has come to say something that is neither what the change was made from nor
    what it was made to. Both statuses are ``None`` when the order is gone from its table.
    """

    o_orderkey: int
    o_orderstatus: str | None
    synced_status: str | None
    status_conflict: bool
    changes: list[Change]
    has_next: bool

    @property
    def next_cursor(self) -> int | None:
        """The version that the next page starts before."""
        return self.changes[-1].version if self.has_next else None


STATUS = """
SELECT true AS is_there, t.o_orderstatus::text AS synced, NULL AS changed, NULL AS synced_then
FROM {table} AS t WHERE t.o_orderkey = $1 AND {as_declared}
"""

CHANGED_STATUS = """
SELECT t.o_orderkey IS NOT NULL AS is_there, t.o_orderstatus::text AS synced, s.o_orderstatus AS changed,
    s.synced_status AS synced_then
FROM (SELECT * FROM {table} WHERE o_orderkey = $1 AND {as_declared}) AS t FULL JOIN (
    SELECT * FROM {statuses}
    WHERE o_orderkey = $1 AND source_schema = {source_schema} AND source_table = {source_table}
) AS s ON s.o_orderkey = t.o_orderkey
"""

# One statement, and so one moment: the status is that of the newest change. With neither there is no row.
FETCH = """
SELECT is_there, synced, changed, synced_then, {columns} FROM ({status}) AS status FULL JOIN (
    SELECT * FROM {history}
    WHERE o_orderkey = $1 AND source_schema = {source_schema} AND source_table = {source_table}
        AND version < $2
    ORDER BY version DESC LIMIT $3
) AS change ON true
ORDER BY version DESC
"""


class HistoryQueries:
    """The queries on the history. Immutable and so safe to share between threads.

    ``shows_changes``: whether the status of orders is changed beside their table, or in it.
    """

    def __init__(self, source: Source, *, shows_changes: bool) -> None:
        self._status_schema = source.status_schema
        parts = {
            **source.parts(),
            "history": source.own(overlay.HISTORY_TABLE),
            "columns": sql.SQL(", ").join(map(sql.Identifier, Change.__struct_fields__)),
        }
        status = sql.SQL(CHANGED_STATUS if shows_changes else STATUS).format(**parts)
        self._fetch = sql.SQL(FETCH).format(status=status, **parts).as_bytes(None)
        self._fetch_status = sql.SQL(STATUS).format(**parts).as_bytes(None)

    def fetch_history(
        self, connection: Connection, order_key: int, before: int, page_size: int
    ) -> History | None:
        """The changes of an order older than version ``before``; ``None`` of an order never known.

        All of one moment. Raises psycopg's errors.
        """
        if overlay.exists(connection, self._status_schema):
            rows = fetch_all(connection, self._fetch, (order_key, before, page_size + 1))
        else:
            rows = fetch_all(connection, self._fetch_status, (order_key,))
        if not rows:
            return None
        is_there, synced, changed, synced_then = rows[0][:4]
        # Beside a status without a change there are NULLs.
        changes = [Change(*row[4:]) for row in rows if any(row[4:])]
        return History(
            o_orderkey=order_key,
            o_orderstatus=changed if is_there and changed is not None else synced,
            synced_status=synced,
            status_conflict=bool(is_there) and changed is not None and synced not in (synced_then, changed),
            changes=changes[:page_size],
            has_next=len(changes) > page_size,
        )
