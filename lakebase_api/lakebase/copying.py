"""Reads what COPY gives, as whole rows."""

from collections.abc import Callable

from psycopg import errors, pq

from lakebase_api.lakebase.connecting import Connection

# Seconds for the server to take note that a statement is to end; it ends by its timeout otherwise.
CANCEL_TIMEOUT = 2.0


class TooMuch(Exception):
    """The rows are more bytes than they may be."""


def copy_rows(
    connection: Connection, statement: bytes, most: int, wait: Callable[[int], None]
) -> list[bytes]:
    """The rows of a ``COPY … TO STDOUT``, each with its line end; at most so many bytes.

    ``wait`` gets the descriptor of the connection's socket and returns when there is something to read. What
    it raises, and ``TooMuch``, leaves the statement running. Raises psycopg's errors, too.
    """
    # psycopg's own Copy costs several times as much for each row.
    pgconn, rows, size = connection.pgconn, [], 0
    pgconn.send_query(statement)
    pgconn.flush()  # so short a statement goes as one
    _check(_fetch_result(pgconn, wait), pq.ExecStatus.COPY_OUT)
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
    while (result := _fetch_result(pgconn, wait)) is not None:
        _check(result, pq.ExecStatus.COMMAND_OK)
    return rows


def end_statement(connection: Connection) -> None:
    """Have the server end the statement that runs on the connection, if one does. Raises psycopg's errors."""
    if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
        connection.cancel_safe(timeout=CANCEL_TIMEOUT)


def _fetch_result(pgconn: pq.abc.PGconn, wait: Callable[[int], None]) -> pq.abc.PGresult | None:
    while pgconn.is_busy():
        wait(pgconn.socket)
        pgconn.consume_input()
    return pgconn.get_result()


def _check(result: pq.abc.PGresult | None, expected: pq.ExecStatus) -> None:
    if result is None or result.status != expected:
        raise errors.error_from_result(result) if result else errors.OperationalError("there is no result")
