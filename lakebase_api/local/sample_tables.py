"""Makes declared tables, as a sync would have made them, and fills them with made-up rows."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from lakebase_api.local.sample_rows import make_rows
from lakebase_api.table.declaration import Table
from lakebase_api.table.types import IDENTIFIER

PREFIX = "declared_"
EXISTS = "SELECT to_regclass(%s) IS NOT NULL"
TYPE_EXISTS = "SELECT to_regtype(%s) IS NOT NULL"
OTHERS = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s"


def name_database(tables: Sequence[Table], *sizes: object) -> str:
    """The database of made-up rows: another for each declaration, as far as the rows depend on it."""
    columns = [
        (table.name, name, column.type.name, column.may_be_null, column.values, column.example)
        for table in tables
        for name, column in table.by_name.items()
    ]
    keys = [(table.schema, table.source, table.key_names) for table in tables]
    return PREFIX + hashlib.sha256(repr((sizes, keys, columns)).encode()).hexdigest()[:12]


def drop_other_databases(connection: psycopg.Connection, name: str) -> None:
    """Drop what was made for declarations that have been edited since. `connection` is in autocommit mode."""
    for (other,) in connection.execute(OTHERS, [PREFIX, name]).fetchall():
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(other)))


def ensure_tables(connection: psycopg.Connection, tables: Sequence[Table], rows: int) -> None:
    """Make each table with so many rows unless it is there. `connection` is in autocommit mode."""
    for table in merge_sources(tables):
        name = sql.Identifier(table.schema, table.source)
        if connection.execute(EXISTS, [name.as_string(connection)]).fetchone() != (True,):
            with connection.transaction():
                create_table(connection, table)
                fill_table(connection, table, rows)
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(name))


def merge_sources(tables: Iterable[Table]) -> list[Table]:
    """The tables to make: one where several resources are made from the same."""
    merged: dict[tuple[str, str], Table] = {}
    for table in tables:
        there = merged.setdefault((table.schema, table.source), table)
        more = tuple(column for column in table.columns if column.name not in there.by_name)
        if more:
            merged[table.schema, table.source] = replace(there, columns=there.columns + more)
    return list(merged.values())


def create_table(connection: psycopg.Connection, table: Table) -> None:
    """Make the table with its primary key, and its schema and enum types if they are not there."""
    for schema in list_schemas(table):
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    _create_enums(connection, table)
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.type.name),
            sql.SQL("" if column.may_be_null else " NOT NULL"),
        )
        for column in table.columns
    ]
    connection.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
            sql.Identifier(table.schema, table.source),
            sql.SQL(", ").join(columns),
            sql.SQL(", ").join(map(sql.Identifier, table.key_names)),
        )
    )


def fill_table(connection: psycopg.Connection, table: Table, rows: int) -> None:
    """Put so many made-up rows into the table."""
    target = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.schema, table.source), sql.SQL(", ").join(map(sql.Identifier, table.names))
    )
    with connection.cursor() as cursor, cursor.copy(target) as copy:
        for row in make_rows(table, rows):
            copy.write_row(row)


def list_schemas(table: Table) -> list[sql.Composable]:
    """The schemas of the table and of its enum types: a role needs each of them."""
    schemas = dict.fromkeys(_find_schema(name) for name in _find_enums(table))
    return [sql.Identifier(table.schema), *(sql.SQL(schema) for schema in schemas if schema)]


def _create_enums(connection: psycopg.Connection, table: Table) -> None:
    for name, values in _find_enums(table).items():
        if connection.execute(TYPE_EXISTS, [name]).fetchone() != (True,):
            known = sql.SQL(", ").join(map(sql.Literal, values))
            connection.execute(sql.SQL("CREATE TYPE {} AS ENUM ({})").format(sql.SQL(name), known))


def _find_enums(table: Table) -> dict[str, list[str]]:
    """The enum types of the table's columns, by their names, each with its values."""
    values: dict[str, list[str]] = {}
    for column in table.columns:
        if enum := column.type.enum:
            known = values.setdefault(enum.name, [])
            known += (value for value in column.values if value not in known)
    return values


def _find_schema(name: str) -> str | None:
    """The schema, as it is written, of a type's name, if it names one."""
    written = re.fullmatch(rf"({IDENTIFIER})\.{IDENTIFIER}", name)
    return written[1] if written else None
