"""The tables that keep changes beside the declared tables, and how they are made.

A declared table is only ever read: it may be rewritten, or dropped and made anew, at any time, so nothing
here refers to it. A change belongs to a row of a table by the table's name and the row's key.
"""

from collections.abc import Iterator, Sequence

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.overlay_names import (
    VERSION_TABLE,
    list_privileges,
    name_changes,
    name_history,
    spell_storage_type,
)
from lakebase_api.sql.overlay_state import READ_VERSION, Found, find_lacking, find_tables, has_circumstances
from lakebase_api.sql.source import name_changed, name_synced
from lakebase_api.table.declaration import Column, Table

# Each entry brings what is there from the version before to its own, counted from 1. A released entry never
# changes, and what it does must leave the release before it working: hosts are replaced one by one. The
# tables of a declared table are made, in the form of the last version, when they are first needed.
MIGRATIONS = (
    """
    CREATE TABLE {schema}.idempotency (
        source text COLLATE "C" NOT NULL,
        caller text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        fingerprint text NOT NULL,
        answer jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (key, caller, source)
    );
    CREATE INDEX ON {schema}.idempotency (created_at);
    """,
)
# `_source` is the table by its name. Without `_changed_…` a column is as its table has it.
CREATE_CHANGES = """
CREATE TABLE {table} (
    {key_columns}, _source text COLLATE "C" NOT NULL, _version bigint NOT NULL, PRIMARY KEY ({key}, _source)
)
"""
ADD_COLUMN = """
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {type},
    ADD COLUMN IF NOT EXISTS {is_changed} boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS {synced} {type}
"""
# The values are objects by column, with each value as PostgreSQL writes it.
CREATE_HISTORY = """
CREATE TABLE {table} (
    {key_columns}, _source text COLLATE "C" NOT NULL, _version bigint NOT NULL,
    _old jsonb NOT NULL, _new jsonb NOT NULL, _synced jsonb NOT NULL, _is_withdrawal boolean NOT NULL,
    _changed_at timestamptz NOT NULL DEFAULT clock_timestamp(), _changed_by text NOT NULL,
    _request_id text NOT NULL, _idempotency_key text, _changed_label text, _changed_method text,
    PRIMARY KEY ({key}, _source, _version)
)
"""
ADD_CIRCUMSTANCES = """
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS _changed_label text,
    ADD COLUMN IF NOT EXISTS _changed_method text
"""

# One at a time, whatever the host. The number is the lock's name, and arbitrary.
LOCK = "SELECT pg_advisory_xact_lock(4732058861)"
# Who reads meanwhile would wait behind who waits here.
LIMIT_WAITS = "SET LOCAL lock_timeout = '2s'"
SCHEMA_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = {name})"
CREATE_SCHEMA = "CREATE SCHEMA {schema}"
CREATE_VERSIONS = """
CREATE TABLE {schema}.schema_version (
    version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
)
"""
NOTE_VERSION = "INSERT INTO {schema}.schema_version (version) VALUES ({version})"


def set_up(connection: Connection, schema: str, tables: Sequence[Table]) -> int:
    """Make the schema and the tables, or bring them to this release; how many steps that took.

    In a transaction of its own, and safe to run from several hosts at once. Needs CREATE on the database, or
    to own the schema where it is there. Raises psycopg's errors, and then nothing has changed.
    """
    names = {"schema": sql.Identifier(schema), "name": sql.Literal(schema)}

    def run(statement: str, **parts: sql.Composable) -> Cursor[TupleRow]:
        return connection.execute(sql.SQL(statement).format(**names, **parts))

    with connection.transaction():
        run(LIMIT_WAITS)
        run(LOCK)
        # Not "IF NOT EXISTS", which asks for CREATE on the database even then.
        if run(SCHEMA_EXISTS).fetchone() != (True,):
            run(CREATE_SCHEMA)
        found = find_tables(connection, schema, tables)
        if VERSION_TABLE not in found:
            run(CREATE_VERSIONS)
        [(done,)] = run(READ_VERSION).fetchall()
        for version, migration in enumerate(MIGRATIONS[done:], done + 1):
            run(migration)
            run(NOTE_VERSION, version=sql.Literal(version))
        steps = [step for table in tables if table.changeable for step in _find_steps(found, schema, table)]
        for step in steps:
            connection.execute(step)
    return len(MIGRATIONS[done:]) + len(steps)


def grants(schema: str, role: str, tables: Sequence[Table]) -> list[str]:
    """The SQL that lets a role that does not own the tables work with them."""
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    statements = [sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names)]
    for table, privileges in list_privileges(tables).items():
        statement = sql.SQL(f"GRANT {', '.join(privileges)} ON {{table}} TO {{role}}")
        statements.append(statement.format(table=sql.Identifier(schema, table), **names))
    return [statement.as_string(None) for statement in statements]


def _find_steps(found: Found, schema: str, table: Table) -> Iterator[sql.Composed]:
    """The statements that make what is lacking for one table."""
    changes = sql.Identifier(schema, name_changes(table))
    parts = {
        "key": sql.SQL(", ").join(map(sql.Identifier, table.key_names)),
        "key_columns": sql.SQL(", ").join(map(_define_key, table.key)),
    }
    if name_changes(table) not in found:
        yield sql.SQL(CREATE_CHANGES).format(table=changes, **parts)
    for name in find_lacking(found, table):
        yield sql.SQL(ADD_COLUMN).format(
            table=changes,
            column=sql.Identifier(name),
            is_changed=sql.Identifier(name_changed(name)),
            synced=sql.Identifier(name_synced(name)),
            type=spell_storage_type(table.by_name[name].type),
        )
    history = sql.Identifier(schema, name_history(table))
    if name_history(table) not in found:
        yield sql.SQL(CREATE_HISTORY).format(table=history, **parts)
    elif not has_circumstances(found, table):
        yield sql.SQL(ADD_CIRCUMSTANCES).format(table=history)


def _define_key(column: Column) -> sql.Composable:
    return sql.SQL("{} {} NOT NULL").format(sql.Identifier(column.name), spell_storage_type(column.type))
