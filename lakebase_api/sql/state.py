"""The state of the database, which says whether anything that was read may have changed since."""

from functools import lru_cache

from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.statements import execute
from lakebase_api.sql.source import Source

# Another one as soon as any transaction of the server has changed anything, the server was started anew, or
# the name means another table. There is none of what can change without a transaction: a view may look at the
# clock, a foreign table is elsewhere. Nor on a standby, whose snapshots do not name what is in progress.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
STATE = """
(SELECT hashtextextended(
    concat_ws(' ', pg_current_snapshot(), pg_postmaster_start_time(), current_database(), oid), 0
)::text
FROM pg_class
WHERE oid = to_regclass({table_name}) AND relkind IN ('r', 'p', 'm') AND NOT pg_is_in_recovery())
"""


def compose_state(source: Source) -> sql.Composable:
    """The state of what the statement reads, as text; NULL where it is not known."""
    return sql.SQL(STATE).format(table_name=sql.Literal(source.identifier.as_string(None)))


def fetch_state(connection: Connection, source: Source) -> str | None:
    """The state of what would be read now. Raises psycopg's errors."""
    [(state,)] = execute(connection, _compose_state(source)).fetchall()
    return state if state is None else str(state)


@lru_cache(maxsize=256)
def _compose_state(source: Source) -> bytes:
    return (sql.SQL("SELECT ") + compose_state(source)).as_bytes(None)
