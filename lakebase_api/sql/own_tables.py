"""The tables of the service's own beside those that keep changes: their forms, and how they are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.overlay_tables import set_up

# They are made in the form of the last version; later ones of `sql.overlay_tables.MIGRATIONS` bring them to
# theirs, where they are there.
CREATE_AUDIT = """
CREATE TABLE {table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    subject text COLLATE "C" NOT NULL,
    label text,
    method text,
    action text COLLATE "C" NOT NULL,
    table_name text COLLATE "C",
    request_id text,
    status integer,
    rows bigint,
    detail jsonb
);
CREATE INDEX ON {table} (at);
CREATE INDEX ON {table} (subject, id);
CREATE INDEX ON {table} (action, id);
"""
# A row is written again each minute of its hour: with room left in its page that changes no index.
# https://www.postgresql.org/docs/current/storage-hot.html
CREATE_USAGE = """
CREATE TABLE {table} (
    hour timestamptz NOT NULL,
    subject text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    table_name text COLLATE "C",
    status_class smallint NOT NULL,
    requests bigint NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    seconds double precision NOT NULL,
    cost double precision NOT NULL,
    PRIMARY KEY (hour, subject, route, method, status_class)
) WITH (fillfactor = 70);
"""
# They need no grant, neither on the table nor on its schema.
EXISTS = """
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relname = %s AND relkind = 'r'
)
"""
ALLOWS = """
SELECT has_schema_privilege(relnamespace, 'USAGE')
    AND (SELECT bool_and(has_table_privilege(pg_class.oid, privilege)) FROM unnest(%s::text[]) AS privilege)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relname = %s AND relkind = 'r'
"""


@dataclass(frozen=True)
class OwnTable:
    """A table of the service's own in the schema of changes. Each method raises psycopg's errors.

    ``time`` is the column that says how old a row is; ``privileges`` are what the service needs.
    """

    name: str
    time: str
    privileges: tuple[str, ...]
    definition: str

    def is_there(self, connection: Connection, schema: str) -> bool:
        """Whether there is one."""
        return connection.execute(EXISTS, (schema, self.name)).fetchone() == (True,)

    def allows(self, connection: Connection, schema: str, privileges: Sequence[str]) -> bool:
        """Whether there is one, and the session has these privileges on it."""
        values = (list(privileges), schema, self.name)
        return connection.execute(ALLOWS, values).fetchone() == (True,)

    def make(self, connection: Connection, schema: str) -> bool:
        """Make it where there is none, with its schema if need be; whether it was made.

        The connection is in autocommit mode, or in a transaction.
        """
        if self.is_there(connection, schema):
            return False
        with connection.transaction():
            set_up(connection, schema, ())  # its lock is held to the end
            if self.is_there(connection, schema):
                return False
            statement = sql.SQL(self.definition).format(table=sql.Identifier(schema, self.name))
            # Several statements are none that is prepared.
            connection.execute(statement, prepare=False)
        return True

    def list_grants(self, schema: str, role: str) -> list[str]:
        """The SQL that lets a role that does not own the table do what the service does, and no more."""
        names = {
            "schema": sql.Identifier(schema),
            "role": sql.Identifier(role),
            "table": sql.Identifier(schema, self.name),
        }
        statements = (
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            "REVOKE ALL ON {table} FROM {role}",
            f"GRANT {', '.join(self.privileges)} ON {{table}} TO {{role}}",
        )
        return [sql.SQL(statement).format(**names).as_string(None) for statement in statements]


# What is there stays as it is.
AUDIT_TABLE = OwnTable("audit", "at", ("SELECT", "INSERT"), CREATE_AUDIT)
USAGE_TABLE = OwnTable("usage", "hour", ("SELECT", "INSERT", "UPDATE"), CREATE_USAGE)
OWN_TABLES = (AUDIT_TABLE, USAGE_TABLE)
