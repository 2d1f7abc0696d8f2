"""Deletes what is old from the tables that grow, as whoever owns them."""

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from lakebase_api.doctor.growth import list_growing
from lakebase_api.doctor.setting_up import SetupRefused, begin
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.sql.audit_table import AuditAction, AuditTable, Event
from lakebase_api.sql.overlay_names import name_history
from lakebase_api.sql.own_tables import AUDIT_TABLE
from lakebase_api.table.declaration import Table

# Rows of a transaction: nobody waits long for one of them, and what is done stays done.
BATCH = 10_000
DELETE = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT old.ctid FROM {table} AS old
    WHERE old.{time} < now() - make_interval(days => %s) AND {is_over} LIMIT {batch}
))
"""
ALWAYS = sql.SQL("true")
# The newest change of a row stays: what the next one is counted from.
HAS_NEWER = """
EXISTS (
    SELECT FROM {table} AS newer
    WHERE {same_row} AND newer._source = old._source AND newer._version > old._version
)
"""
EXISTS = "SELECT to_regclass(%s) IS NOT NULL"


def prune(environ: Mapping[str, str], days: int) -> str:
    """Delete what is older than so many days, and say how much that was. Raises ``SetupRefused``."""
    settings, tables, connection = begin(environ)
    with connection:
        try:
            deleted = _prune_all(connection, settings.status_schema, tables, days)
        except psycopg.Error as error:
            raise SetupRefused(
                f"{first_line(error)}. Who owns the tables runs this; what was deleted before stays so."
            ) from error
    told = "; ".join(f"{name}: {count:,} rows" for name, count in deleted.items())
    return f"Older than {days} days, and deleted: {told or 'nothing'}."


def _prune_all(connection: Connection, schema: str, tables: Sequence[Table], days: int) -> dict[str, int]:
    by_history = {name_history(table): table for table in tables}
    deleted = {}
    for name, time in list_growing(tables).items():
        identifier = sql.Identifier(schema, name)
        if connection.execute(EXISTS, (identifier.as_string(None),)).fetchone() != (True,):
            continue
        is_over = _has_newer(identifier, by_history[name]) if name in by_history else ALWAYS
        parts = {"table": identifier, "time": sql.Identifier(time), "batch": sql.Literal(BATCH)}
        deleted[name] = _delete(connection, sql.SQL(DELETE).format(is_over=is_over, **parts), days)
    if AUDIT_TABLE.name in deleted:
        detail = {"older_than_days": days, "rows": deleted}
        event = Event(AuditAction.PRUNE, connection.info.user, method="database", detail=detail)
        AuditTable(connection, schema).insert([event])
    return deleted


def _delete(connection: Connection, statement: sql.Composed, days: int) -> int:
    total = 0
    while count := connection.execute(statement, (days,)).rowcount:
        total += count
    return total


def _has_newer(history: sql.Identifier, table: Table) -> sql.Composed:
    same_row = sql.SQL(" AND ").join(
        sql.SQL("newer.{0} = old.{0}").format(sql.Identifier(name)) for name in table.key_names
    )
    return sql.SQL(HAS_NEWER).format(table=history, same_row=same_row)
