"""Runs statements that say what they are for: the operation in a comment, the request in the session's name.

The comment is the same for all requests of an operation. The id of a request is never part of a statement:
each would be another one, to be prepared and to be kept in ``pg_stat_statements``.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import psycopg
from psycopg import RawCursor
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connection import SET_NAME, Connection, LakebaseConnection, Position
from lakebase_api.settings import Settings

# Bytes of a session's name that PostgreSQL keeps.
# https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-APPLICATION-NAME
LONGEST_NAME = 63
# Where a replica is, and whether that is far enough. What was made the primary meanwhile is no replica.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
FIND_POSITION = b"""
SELECT reached::text, pg_is_in_recovery() AND reached >= $1::pg_lsn FROM pg_last_wal_replay_lsn() AS reached
"""
# How far the primary is, with all that was committed until now: what a commit waits for is flushed by then.
# What
# is inserted may be further, by records that nobody waits for and no replica has until much later.
# https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT
FIND_END = b"""
SELECT (CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END)::text
"""
# A position that no log will reach: what is to be read after it is read from the primary.
# https://www.postgresql.org/docs/current/datatype-pg-lsn.html
NEVER = "FFFFFFFF/FFFFFFFF"
# Statements with their comments that are kept.
STATEMENTS_KEPT = 4096
# The comment goes behind it, into the statement, since tools cut off those around one.
FIRST_WORD = re.compile(rb"(?:\s|/\*.*?\*/)*[A-Za-z]+", re.DOTALL)
# Nothing of a name of an operation can end the comment.
NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


class ReplicaBehind(Exception):
    """The replica has not come as far as was demanded, or does not say how far."""


class Labels:
    """Says on a connection what it is lent for. Immutable."""

    def __init__(self, settings: Settings) -> None:
        self._application = settings.pg_appname if settings.trace_sql else None

    def put(self, connection: LakebaseConnection, operation: str, request_id: str) -> None:
        """It is used for this operation from now on, and with ``TRACE_SQL`` is named after this request.

        Both may be empty. The name is sent with the next statement.
        """
        connection.operation = operation
        if self._application is not None:
            connection.wanted_name = spell_name(self._application, request_id)


def spell_name(application: str, request_id: str) -> str:
    """The name of a session. Of what is too long the application is cut, and then the end of the id."""
    if not request_id:
        return application
    room = max(0, LONGEST_NAME - len(request_id) - 1)
    shown = application.encode()[:room].decode(errors="ignore")
    return f"{shown}/{request_id}"[:LONGEST_NAME]


@lru_cache(STATEMENTS_KEPT)
def add_comment(statement: bytes, operation: str) -> bytes:
    """The statement with the operation in a comment, if it is of one."""
    if not operation:
        return statement
    first = FIRST_WORD.match(statement)
    end = first.end() if first else 0
    return b"%b /*%b*/%b" % (statement[:end], NO_NAME.sub("_", operation).encode(), statement[end:])


def label_statement(connection: Connection, statement: bytes) -> bytes:
    """The statement with the comment for what the connection is lent for."""
    if not isinstance(connection, LakebaseConnection):
        return statement
    return add_comment(statement, connection.operation)


def execute(
    connection: Connection,
    statement: bytes,
    values: Sequence[object] = (),
    *,
    prepare: bool | None = None,
    binary: bool = False,
) -> RawCursor[TupleRow]:
    """Run a statement with ``$1`` and so on for the values. Needs autocommit mode. Raises psycopg's errors.

    If the session is to have another name, or a replica to be far enough, that goes to the server at once
    with it. Raises ``ReplicaBehind`` too.
    """
    cursor, labelled = RawCursor(connection), label_statement(connection, statement)
    if not isinstance(connection, LakebaseConnection):
        return cursor.execute(labelled, values, prepare=prepare, binary=binary)
    position = connection.position
    is_asked = position is not None and position.demanded is not None
    if connection.has_wanted_name and not is_asked:
        return cursor.execute(labelled, values, prepare=prepare, binary=binary)
    gate = RawCursor(connection)
    with connection.pipeline():
        if not connection.has_wanted_name:
            RawCursor(connection).execute(SET_NAME, (connection.wanted_name,))
        if position is not None and is_asked:
            # A statement of its own: what the next one sees is of a later moment.
            gate.execute(FIND_POSITION, (position.demanded,))
        cursor.execute(labelled, values, prepare=prepare, binary=binary)
    # Where the statement fails the server takes back the name, which is part of the same transaction.
    connection.name = connection.wanted_name
    if position is not None and is_asked:
        note_position(position, gate.fetchone())
    return cursor


def pass_gate(connection: LakebaseConnection) -> None:
    """Ask how far a replica is, by a statement alone. Raises ``ReplicaBehind`` and psycopg's errors."""
    position = connection.position
    if position is not None and position.demanded is not None:
        note_position(position, RawCursor(connection).execute(FIND_POSITION, (position.demanded,)).fetchone())


def note_position(position: Position, found: TupleRow | None) -> None:
    """Take over where the replica was. Raises ``ReplicaBehind`` if that is not far enough."""
    reached, is_far_enough = found or (None, False)
    if not is_far_enough:
        raise ReplicaBehind(f"the replica is at {reached}, before {position.demanded}")
    position.demanded, position.reached = None, str(reached)


def find_position(connection: LakebaseConnection) -> str:
    """How far in the write-ahead log a replica must be that shows what was committed here until now.

    The commit stands, whatever goes wrong here: then no replica will do.
    """
    try:
        [(position,)] = execute(connection, FIND_END).fetchall()
    except psycopg.Error:
        return NEVER
    return str(position)
