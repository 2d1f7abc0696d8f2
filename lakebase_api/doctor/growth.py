"""How much the app's own tables have, and how fast that grows."""

from collections.abc import Iterator, Sequence

import psycopg
from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import Check, passed, skipped
from lakebase_api.sql.overlay_names import IDEMPOTENCY_TABLE, name_history
from lakebase_api.sql.own_tables import OWN_TABLES
from lakebase_api.table.declaration import Table

GROWTH = "growth"
# For each table: a history has no index of times, and may be too long to be read for this.
LIMIT = "SET LOCAL statement_timeout = '2s'"
FIND_SIZE = """
SELECT pg_size_pretty(pg_total_relation_size(pg_class.oid)),
    CASE WHEN reltuples > 0 THEN reltuples::bigint END
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relname = %s AND relkind = 'r'
"""
COUNT_NEW = "SELECT count(*) FROM {table} WHERE {time} > now() - interval '24 hours'"


def list_growing(tables: Sequence[Table]) -> dict[str, str]:
    """The tables that grow, each with its column of times."""
    histories = {name_history(table): "_changed_at" for table in tables if table.changeable}
    own = {table.name: table.time for table in OWN_TABLES}
    return {**own, **histories, IDEMPOTENCY_TABLE: "created_at"}


def judge_growth(connection: Connection | None, schema: str, tables: Sequence[Table]) -> Check:
    """A line of all of them: rows by the statistics, size, and rows of the last 24 hours."""
    if connection is None:
        return skipped(GROWTH, "no connection")
    found = list(_list_sizes(connection, schema, tables))
    return passed(GROWTH, "; ".join(found) or f"there are no tables in {schema} yet")


def _list_sizes(connection: Connection, schema: str, tables: Sequence[Table]) -> Iterator[str]:
    for name, time in list_growing(tables).items():
        try:
            row = connection.execute(FIND_SIZE, (schema, name)).fetchone()
            if row is not None:
                size, rows = row
                known = "" if rows is None else f", about {rows:,} rows"
                yield f"{name} {size}{known}{_count_new(connection, schema, name, time)}"
        except psycopg.Error:
            yield f"{name} cannot be looked at"


def _count_new(connection: Connection, schema: str, name: str, time: str) -> str:
    statement = sql.SQL(COUNT_NEW).format(table=sql.Identifier(schema, name), time=sql.Identifier(time))
    try:
        with connection.transaction():
            connection.execute(LIMIT)
            [(count,)] = connection.execute(statement).fetchall()
    except psycopg.Error:
        return ""
    return f", {count:,} in 24 hours"
