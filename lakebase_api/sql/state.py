"""The state of the database, which says whether anything that was read may have changed since."""

from functools import lru_cache

from psycopg import sql

from lakebase_api.lakebase.connection import Connection, LakebaseConnection, Position
from lakebase_api.lakebase.statements import execute
from lakebase_api.sql.source import Source

# Another one as soon as any transaction of the server has changed anything, the server was started anew, or
# the name means another table. There is none of what can change without a transaction: a view may look at the
# clock, a foreign table is elsewhere.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
# The snapshots of a replica do not name what is in progress. What it shows depends on how far it is in the
# log, which is behind the sign: at the end of the statement, and so maybe further than its snapshot.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
STATE = """
(SELECT CASE WHEN pg_is_in_recovery() THEN concat(
    hashtextextended(concat_ws(' ', pg_last_xact_replay_timestamp(), current_database(), oid), 0),
    '@', pg_last_wal_replay_lsn()
) ELSE hashtextextended(
    concat_ws(' ', pg_current_snapshot(), pg_postmaster_start_time(), current_database(), oid), 0
)::text END
FROM pg_class
WHERE oid = to_regclass({table_name}) AND relkind IN ('r', 'p', 'm'))
"""
REPLICA_SIGN = "@"


def compose_state(source: Source) -> sql.Composable:
    """The state of what the statement reads, as text; NULL where it is not known."""
    return sql.SQL(STATE).format(table_name=sql.Literal(source.identifier.as_string(None)))


def settle_state(connection: Connection, state: str | None) -> str | None:
    """The state that a statement gave with what it read, if it was in no other that it read.

    A replica that was as far before the statement as at its end was so all the while.
    """
    if state is None or REPLICA_SIGN not in state:
        return state
    position = _find_position(connection)
    return state if position and state.endswith(f"{REPLICA_SIGN}{position.reached}") else None


def fetch_state(connection: Connection, source: Source) -> str | None:
    """The state of what would be read now, if it is known. Raises psycopg's errors.

    It is not of a replica in the place of the primary: behind its name there may be several.
    """
    [(state,)] = execute(connection, _compose_state(source)).fetchall()
    if state is None or (REPLICA_SIGN in state and not _find_position(connection)):
        return None
    return str(state)


def _find_position(connection: Connection) -> Position | None:
    return connection.position if isinstance(connection, LakebaseConnection) else None


@lru_cache(maxsize=256)
def _compose_state(source: Source) -> bytes:
    return (sql.SQL("SELECT ") + compose_state(source)).as_bytes(None)
