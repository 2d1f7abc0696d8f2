"""Reading the rows that COPY gives, and ending a statement that is waited for no longer."""

from collections.abc import Sequence

from psycopg import pq

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.results import Wait, check_result, fetch_result, fetch_row, finish_statement
from lakebase_api.lakebase.statements import label_statement

# Seconds for the server to take note that a statement is to end; it ends by its timeout otherwise.
CANCEL_TIMEOUT = 2.0


class TooMuch(Exception):
    """The rows are more bytes than they may be."""


def fetch_texts(
    connection: Connection, statement: bytes, values: Sequence[object], wait: Wait
) -> list[str | None] | None:
    """The first row of a statement with ``$1`` and so on for the values, if there is one.

    Raises psycopg's errors.
    """
    texts = [None if value is None else str(value).encode() for value in values]
    row = fetch_row(connection.pgconn, label_statement(connection, statement), texts, wait)
    return [None if value is None else value.decode() for value in row] if row else None


def copy_rows(connection: Connection, statement: bytes, most: int, wait: Wait) -> list[bytes]:
    """The rows of a ``COPY … TO STDOUT``, each with its line end; at most so many bytes.

    Raises ``TooMuch``, which leaves the statement running, and psycopg's errors.
    """
    # psycopg's own Copy costs several times as much for each row.
    pgconn, rows, size = connection.pgconn, [], 0
    pgconn.send_query(label_statement(connection, statement))
    pgconn.flush()
    check_result(pgconn, fetch_result(pgconn, wait), pq.ExecStatus.COPY_OUT)
    fetch = pgconn.get_copy_data
    while True:
        length, row = fetch(1)
        if length > 0:
            rows.append(bytes(row))
            size += length
            if size > most:
                raise TooMuch
        elif length == 0:
            wait(pgconn.socket)
            pgconn.consume_input()
        else:
            break
    finish_statement(pgconn, wait)
    return rows


def end_statement(connection: Connection) -> None:
    """Have the server end the statement that runs on the connection, if one does. Raises psycopg's errors."""
    if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
        connection.cancel_safe(timeout=CANCEL_TIMEOUT)
