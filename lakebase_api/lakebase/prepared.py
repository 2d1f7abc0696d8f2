"""What a connection has prepared: dropped as soon as it may no longer fit the database.

A prepared statement outlives what it was prepared for: a table that got other types, a type that is gone, a
session that a pooler has exchanged. https://www.postgresql.org/docs/current/sql-prepare.html
"""

from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import errors, pq

from lakebase_api.lakebase.connection import Connection

T = TypeVar("T")

# What the server may say of a statement, or of its values, for no other reason than that it was prepared. By
# class: "cached plan must not change result type" is FeatureNotSupported of RevalidateCachedQuery, but a
# value that the type of before does not hold, or an operator it does not have, is of another.
OUTDATED = (
    psycopg.DataError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
    errors.InternalError_,
    errors.ProtocolViolation,
)
# What is prepared is not where it was: somebody between this side and the server exchanges sessions.
EXCHANGED = (
    errors.InvalidSqlStatementName,
    errors.DuplicatePreparedStatement,
    errors.ProtocolViolation,
)


def run_afresh(connection: Connection, query: Callable[[Connection], T]) -> T:
    """The result of the query, asked once more with nothing prepared if what is may be outdated.

    Needs autocommit mode: a statement that fails has done nothing then. Raises what the query raises.
    """
    try:
        return query(connection)
    except OUTDATED as error:
        if not _forget(connection, error):
            raise
    return query(connection)


def _forget(connection: Connection, error: psycopg.Error) -> bool:
    """Whether the server has said it, and nothing is prepared any more."""
    is_idle = connection.pgconn.transaction_status == pq.TransactionStatus.IDLE
    if error.sqlstate is None or not is_idle:
        return False
    if isinstance(error, EXCHANGED):
        connection.prepare_threshold = None
    else:
        # With a rollback psycopg drops all that is prepared. It does not always see a DEALLOCATE ALL.
        with connection.transaction(force_rollback=True):
            pass
    return True
