"""The tables that keep changes beside the declared tables: what they are called, and how they are made.

A declared table is only ever read: it may be rewritten, or dropped and made anew, at any time, so nothing
here refers to it. A change belongs to a row of a table by the table's name and the row's key.
"""

from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.source import name_changed, name_synced
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import ALIASES, Kind, Type

IDEMPOTENCY_TABLE = "idempotency"
VERSION_TABLE = "schema_version"

# What the app does with each table; the history is append-only.
CHANGES_PRIVILEGES = ("SELECT", "INSERT", "UPDATE")
HISTORY_PRIVILEGES = ("SELECT", "INSERT")
SHARED_PRIVILEGES = {
    VERSION_TABLE: ("SELECT",),
    IDEMPOTENCY_TABLE: ("SELECT", "INSERT", "UPDATE", "DELETE"),
}

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
# What the histories of earlier releases have not, which write none.
CIRCUMSTANCES = ("_changed_label", "_changed_method")
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
READ_VERSION = "SELECT coalesce(max(version), 0)::integer FROM {schema}.schema_version"
NOTE_VERSION = "INSERT INTO {schema}.schema_version (version) VALUES ({version})"

# Of no use but to look: it needs no grant on the tables or their schema.
FIND_TABLES = """
SELECT relname::text, attname::text, atttypid::regtype::text
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     JOIN pg_attribute ON attrelid = pg_class.oid
WHERE nspname = %s AND relname = ANY(%s) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""

# The columns of each table, by name, with their types.
Found = Mapping[str, Mapping[str, str]]


def name_changes(table: Table) -> str:
    """The table that has the changed columns of its rows."""
    return f"{table.name}_changes"


def name_history(table: Table) -> str:
    """The table that has its versions."""
    return f"{table.name}_history"


def find_storage_type(kind: Type) -> str:
    """The type in which changes of a column are kept, as ``regtype`` prints it.

    The declared one without its length or precision: those may change.
    """
    name = ALIASES.get(kind.name, kind.name)
    if kind.kind is Kind.TEXT:
        is_padded = name.startswith(("char", "bpchar")) and "varying" not in name
        return "character" if is_padded else "text"
    if kind.kind in (Kind.INTEGER, Kind.ENUM):
        return kind.cast
    return name if kind.kind is Kind.FLOAT else kind.family[0]


def list_privileges(tables: Sequence[Table]) -> dict[str, tuple[str, ...]]:
    """The privileges that the app needs on each table that keeps changes of these."""
    own = {
        name: privileges
        for table in tables
        for name, privileges in (
            (name_changes(table), CHANGES_PRIVILEGES),
            (name_history(table), HISTORY_PRIVILEGES),
        )
        if table.changeable
    }
    return {**SHARED_PRIVILEGES, **own}


def find_tables(connection: Connection, schema: str, tables: Sequence[Table]) -> Found:
    """What there is of the tables that keep changes of these. Raises psycopg's errors."""
    found: dict[str, dict[str, str]] = {}
    values = (schema, list(list_privileges(tables)))
    for name, column, kind in connection.execute(FIND_TABLES, values):
        found.setdefault(name, {})[column] = kind
    return found


def find_lacking(found: Found, table: Table) -> list[str]:
    """The changeable columns that the table of changes has not, or not wholly."""
    there = found.get(name_changes(table), {})
    return [
        column.name
        for column in table.changeable
        if not {column.name, name_changed(column.name), name_synced(column.name)} <= there.keys()
    ]


def has_circumstances(found: Found, table: Table) -> bool:
    """Whether the history says how it was known who made a change, and what they are called."""
    return found.get(name_history(table), {}).keys() >= set(CIRCUMSTANCES)


def find_other_types(found: Found, table: Table) -> dict[str, str]:
    """The columns of the key, and changeable ones, that are kept in another type than declared: in which."""
    there = found.get(name_changes(table), {})
    return {
        column.name: there[column.name]
        for column in (*table.key, *table.changeable)
        if column.name in there
        and column.type.kind is not Kind.ENUM  # printed with its schema, or without
        and there[column.name] != find_storage_type(column.type)
    }


def is_complete(found: Found, tables: Sequence[Table]) -> bool:
    """Whether every table and column is there."""
    return list_privileges(tables).keys() <= found.keys() and not any(
        find_lacking(found, table) or not has_circumstances(found, table) for table in tables
    )


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


def read_version(connection: Connection, schema: str) -> int | None:
    """The version of what is there; ``None`` if there is none, or the session may not read it."""
    try:
        statement = sql.SQL(READ_VERSION).format(schema=sql.Identifier(schema))
        [(version,)] = connection.execute(statement).fetchall()
    except (psycopg.ProgrammingError, psycopg.DataError):
        return None
    return int(version)


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


def spell_storage_type(kind: Type) -> sql.SQL:
    """The type in which changes are kept, as SQL reads it."""
    name = find_storage_type(kind)
    # To SQL `character` is one of a single character.
    return sql.SQL("bpchar" if name == "character" else name)


def _define_key(column: Column) -> sql.Composable:
    return sql.SQL("{} {} NOT NULL").format(sql.Identifier(column.name), spell_storage_type(column.type))
