"""The table of API keys: its form, and the statements on it."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg import errors, sql

from lakebase_api.access.api_keys import KeptKey
from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.sql.overlay_tables import set_up

TABLE = "api_key"
# What the app does with it. A key is made and revoked by whoever runs the commands.
PRIVILEGES = "SELECT, UPDATE (last_used_at)"

# It is made in the form of the last version when the first key is; later ones of
# `sql.overlay_tables.MIGRATIONS` bring it to theirs, where it is there.
CREATE = """
CREATE TABLE {table} (
    id text COLLATE "C" PRIMARY KEY,
    digest bytea NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT session_user,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
)
"""
# It needs no grant, neither on the table nor on its schema.
EXISTS = """
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relname = %s AND relkind = 'r'
)
"""
READ = """
SELECT id, encode(digest, 'hex'), name, extract(epoch FROM expires_at)::text FROM {table}
WHERE revoked_at IS NULL
"""
NOTE_USE = """
UPDATE {table} SET last_used_at = date_trunc('hour', now())
WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < date_trunc('hour', now()))
"""
# So that no two of a name are made at once. Those who read do not wait.
LOCK = "LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"
INSERT = "INSERT INTO {table} (id, digest, name, expires_at) VALUES (%s, %s, %s, now() + %s::interval)"
LIST = """
SELECT name, id, to_char(created_at AT TIME ZONE 'UTC', %(form)s),
    to_char(expires_at AT TIME ZONE 'UTC', %(form)s), to_char(last_used_at AT TIME ZONE 'UTC', %(form)s),
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'live' END
FROM {table} ORDER BY name, created_at
"""
MOMENT = 'YYYY-MM-DD"T"HH24:MI"Z"'
END_LATER = """
UPDATE {table} SET expires_at = least(expires_at, now() + %s::interval)
WHERE name = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
FIND_LIFE = """
SELECT expires_at - created_at FROM {table}
WHERE name = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
ORDER BY created_at DESC
"""
REVOKE = "UPDATE {table} SET revoked_at = now() WHERE name = %s AND revoked_at IS NULL"
# What the app cannot do where it only reads the table, or the database.
CANNOT_NOTE = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)


@dataclass(frozen=True)
class ListedKey:
    """A key as people are shown it. Moments are of ISO 8601, to the minute."""

    name: str
    id: str
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None
    state: str


@dataclass(frozen=True)
class KeyTable:
    """The table in a schema, on a connection in autocommit mode. Each method raises psycopg's errors."""

    connection: Connection
    schema: str

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return self.connection.execute(EXISTS, (self.schema, TABLE)).fetchone() == (True,)

    def make(self, role: str) -> None:
        """Make it, with its schema if there is none, and let the role work with it."""
        with self.connection.transaction():
            set_up(self.connection, self.schema, ())  # its lock is held to the end
            if not self.is_there:
                self.connection.execute(self._spell(CREATE))
            if role != self.connection.info.user:
                for grant in self.list_grants(role):
                    self.connection.execute(grant.encode())

    def list_grants(self, role: str) -> Sequence[str]:
        """The SQL that lets a role that does not own the table work with it."""
        names = {
            "schema": sql.Identifier(self.schema),
            "role": sql.Identifier(role),
            "table": self._name,
        }
        grants = (
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            f"GRANT {PRIVILEGES} ON {{table}} TO {{role}}",
        )
        return [sql.SQL(grant).format(**names).as_string(None) for grant in grants]

    def read(self, used: Collection[str] = ()) -> dict[str, KeptKey]:
        """The keys that were not revoked, by their ids; those with the ids ``used`` were, in this hour."""
        if not self.is_there:
            return {}
        found = self.connection.execute(self._spell(READ)).fetchall()
        if used:
            with suppress(*CANNOT_NOTE):
                self.connection.execute(self._spell(NOTE_USE), (list(used),))
        return {
            key_id: KeptKey(key_id, bytes.fromhex(digest), name, expires and float(expires))
            for key_id, digest, name, expires in found
        }

    def list(self) -> Sequence[ListedKey]:
        """All keys that there ever were."""
        return [ListedKey(*row) for row in self.connection.execute(self._spell(LIST), {"form": MOMENT})]

    def find_lives(self, name: str) -> Sequence[str | None]:
        """How long the keys of that name that are accepted live, the newest first, as intervals."""
        return [life for (life,) in self.connection.execute(self._spell(FIND_LIFE), (name,))]

    def lock(self) -> None:
        """Have nobody else change it until the transaction ends."""
        self.connection.execute(self._spell(LOCK))

    def insert(self, key: KeptKey, life: str | None) -> None:
        """Keep a new key, that lives for an interval of PostgreSQL; its ``expires_at`` does not count."""
        self.connection.execute(self._spell(INSERT), (key.id, key.digest, key.name, life))

    def end_later(self, name: str, left: str) -> None:
        """Accept the keys of that name for this interval at most."""
        self.connection.execute(self._spell(END_LATER), (left, name))

    def revoke(self, name: str) -> int:
        """Accept no key of that name any more; how many there were."""
        return self.connection.execute(self._spell(REVOKE), (name,)).rowcount

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(self.schema, TABLE)

    def _spell(self, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(table=self._name)


@dataclass(frozen=True)
class TableKeys:
    """Loads the keys of the table by way of the service's connections, within so many seconds."""

    database: Database
    schema: str
    time_limit: float

    def load(self, used: Collection[str]) -> Mapping[str, KeptKey]:
        """The keys by their ids. Raises what the database does."""
        background = Background(time.monotonic() + self.time_limit)
        return self.database.read_for(background, lambda connection: self._read(connection, used))

    def _read(self, connection: Connection, used: Collection[str]) -> Mapping[str, KeptKey]:
        return KeyTable(connection, self.schema).read(used)
