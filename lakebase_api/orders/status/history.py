"""The history of an order's status."""

from datetime import datetime

import msgspec
from psycopg import RawCursor, sql
from psycopg.rows import TupleRow, args_row

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders import overlay
from lakebase_api.orders.order import Source


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


FETCH_STATUS = """
SELECT true, t.o_orderstatus::text, NULL, NULL FROM {table} AS t WHERE t.o_orderkey = $1
"""

FETCH_CHANGED_STATUS = """
SELECT t.o_orderkey IS NOT NULL, t.o_orderstatus::text, s.o_orderstatus, s.synced_status
FROM (SELECT * FROM {table} WHERE o_orderkey = $1) AS t FULL JOIN (
    SELECT * FROM {statuses}
    WHERE o_orderkey = $1 AND source_schema = {source_schema} AND source_table = {source_table}
) AS s ON s.o_orderkey = t.o_orderkey
"""

FETCH_CHANGES = """
SELECT {columns} FROM {history}
WHERE o_orderkey = $1 AND source_schema = {source_schema} AND source_table = {source_table} AND version < $2
ORDER BY version DESC LIMIT $3
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
        status = FETCH_CHANGED_STATUS if shows_changes else FETCH_STATUS
        self._fetch_status = sql.SQL(FETCH_STATUS).format(**parts).as_bytes(None)
        self._fetch_shown_status = sql.SQL(status).format(**parts).as_bytes(None)
        self._fetch_changes = sql.SQL(FETCH_CHANGES).format(**parts).as_bytes(None)

    def fetch_history(
        self, connection: Connection, order_key: int, before: int, page_size: int
    ) -> History | None:
        """The changes of an order older than version ``before``; ``None`` of an order never known."""
        if overlay.exists(connection, self._status_schema):
            found = _fetch_all(connection, self._fetch_shown_status, order_key)
            changes = _fetch_changes(connection, self._fetch_changes, (order_key, before, page_size + 1))
        else:
            found, changes = _fetch_all(connection, self._fetch_status, order_key), []
        if not found and not changes:
            return None
        is_there, synced, changed, synced_then = found[0] if found else (False, None, None, None)
        return History(
            o_orderkey=order_key,
            o_orderstatus=changed if is_there and changed is not None else synced,
            synced_status=synced,
            status_conflict=is_there and changed is not None and synced not in (synced_then, changed),
            changes=changes[:page_size],
            has_next=len(changes) > page_size,
        )


def _fetch_all(connection: Connection, statement: bytes, order_key: int) -> list[TupleRow]:
    return RawCursor(connection).execute(statement, (order_key,)).fetchall()


def _fetch_changes(connection: Connection, statement: bytes, values: tuple[int, ...]) -> list[Change]:
    return RawCursor(connection, row_factory=args_row(Change)).execute(statement, values).fetchall()
