"""The table of what was done that no history has: the statements on it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.own_tables import AUDIT_TABLE

INSERT = """
INSERT INTO {table} (at, subject, label, method, action, table_name, request_id, status, rows, detail)
SELECT at, subject, label, method, action, table_name, request_id, status, rows, detail
FROM jsonb_to_recordset(%s::jsonb) AS event (
    at timestamptz, subject text, label text, method text, action text, table_name text, request_id text,
    status integer, rows bigint, detail jsonb
)
ORDER BY at
"""
# Each worker of a server would write it: the first one does.
INSERT_START = """
{insert} LIMIT (
    SELECT CASE WHEN pg_try_advisory_xact_lock(hashtextextended(%s, 0)) AND NOT EXISTS (
        SELECT FROM {table} WHERE action = 'start' AND request_id = %s
    ) THEN 1 ELSE 0 END
)
"""


class AuditAction(StrEnum):
    """What was done."""

    EXPORT = "export"
    REFUSAL = "refusal"
    # Refusals that there was no room for; ``rows`` is how many.
    DROPPED = "dropped"
    START = "start"
    KEY_CREATE = "key-create"
    KEY_ROTATE = "key-rotate"
    KEY_REVOKE = "key-revoke"
    PRUNE = "prune"


def _now() -> str:
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True)
class Event:
    """Something that was done, by whom: never with a body, a token or a value of a row."""

    action: AuditAction
    subject: str
    label: str | None = None
    method: str | None = None
    table_name: str | None = None
    request_id: str | None = None
    status: int | None = None
    rows: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: str = field(default_factory=_now)


@dataclass(frozen=True)
class AuditTable:
    """The table in a schema, on a connection in autocommit mode. Each method raises psycopg's errors."""

    connection: Connection
    schema: str

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return AUDIT_TABLE.is_there(self.connection, self.schema)

    @property
    def may_insert(self) -> bool:
        """Whether there is one, and the session may add to it."""
        return AUDIT_TABLE.allows(self.connection, self.schema, ("INSERT",))

    def insert(self, events: Sequence[Event]) -> None:
        """Add the events, in the order of their times."""
        self.connection.execute(self._spell(INSERT), (_encode(events),))

    def insert_start(self, event: Event) -> None:
        """Add the start of a server, unless another of its processes did: it has the same ``request_id``."""
        statement = sql.SQL(INSERT_START).format(insert=self._spell(INSERT), table=self._name)
        self.connection.execute(statement, (_encode([event]), event.request_id, event.request_id))

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(self.schema, AUDIT_TABLE.name)

    def _spell(self, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(table=self._name)


def _encode(events: Sequence[Event]) -> str:
    return json.dumps([asdict(event) for event in events])
