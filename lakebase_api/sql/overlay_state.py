"""What there is of the tables that keep changes, and what they lack of what is declared."""

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.sql.overlay_names import (
    CIRCUMSTANCES,
    find_storage_type,
    list_privileges,
    name_changes,
    name_history,
)
from lakebase_api.sql.source import name_changed, name_synced
from lakebase_api.table.declaration import Table
from lakebase_api.table.types import Kind

# Of no use but to look: it needs no grant on the tables or their schema.
FIND_TABLES = """
SELECT relname::text, attname::text, atttypid::regtype::text
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     JOIN pg_attribute ON attrelid = pg_class.oid
WHERE nspname = %s AND relname = ANY(%s) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""
READ_VERSION = "SELECT coalesce(max(version), 0)::integer FROM {schema}.schema_version"

# The columns of each table, by name, with their types.
Found = Mapping[str, Mapping[str, str]]


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


def read_version(connection: Connection, schema: str) -> int | None:
    """The version of what is there; ``None`` if there is none, or the session may not read it."""
    try:
        statement = sql.SQL(READ_VERSION).format(schema=sql.Identifier(schema))
        [(version,)] = connection.execute(statement).fetchall()
    except (psycopg.ProgrammingError, psycopg.DataError):
        return None
    return int(version)
