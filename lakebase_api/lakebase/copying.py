"""Statements that are waited for in a way of the caller's, and the rows that COPY gives."""

from collections.abc import Callable, Sequence

from psycopg import errors, pq

from lakebase_api.lakebase.connecting import Connection

# Seconds for the server to take note that a statement is to end; it ends by its timeout otherwise.
CANCEL_TIMEOUT = 2.0

# Gets the descriptor of a connection's socket, and returns when there is something to read. What it raises
# leaves the statement running.
Wait = Callable[[int], None]


class TooMuch(Exception):
    """The rows are more bytes than they may be."""


def fetch_integers(
    connection: Connection, statement: bytes, values: Sequence[int], wait: Wait
) -> list[int] | None:
    """The first row of a statement with ``$1`` and so on for the values, if there is one.

    Raises psycopg's errors.
    """
    pgconn = connection.pgconn
    pgconn.send_query_params(statement, [str(value).encode() for value in values])
    pgconn.flush()  # so short a statement goes as one
    result = _check(pgconn, _fetch_result(pgconn, wait), pq.ExecStatus.TUPLES_OK)
    _finish(pgconn, wait)
    if not result.ntuples:
        return None
    return [int(result.get_value(0, column) or b"") for column in range(result.nfields)]


def copy_rows(connection: Connection, statement: bytes, most: int, wait: Wait) -> list[bytes]:
    """The rows of a ``COPY … TO STDOUT``, each with its line end; at most so many bytes.

    Raises ``TooMuch``, which leaves the statement running, and psycopg's errors.
    """
    # psycopg's own Copy costs several times as much for each row.
    pgconn, rows, size = connection.pgconn, [], 0
    pgconn.send_query(statement)
    pgconn.flush()
    _check(pgconn, _fetch_result(pgconn, wait), pq.ExecStatus.COPY_OUT)
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
    _finish(pgconn, wait)
    return rows


def end_statement(connection: Connection) -> None:
    """Have the server end the statement that runs on the connection, if one does. Raises psycopg's errors."""
    if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
        connection.cancel_safe(timeout=CANCEL_TIMEOUT)


def _finish(pgconn: pq.abc.PGconn, wait: Wait) -> None:
    while (result := _fetch_result(pgconn, wait)) is not None:
        _check(pgconn, result, pq.ExecStatus.COMMAND_OK)


def _fetch_result(pgconn: pq.abc.PGconn, wait: Wait) -> pq.abc.PGresult | None:
    while pgconn.is_busy():
        wait(pgconn.socket)
        pgconn.consume_input()
    return pgconn.get_result()


def _check(pgconn: pq.abc.PGconn, result: pq.abc.PGresult | None, expected: pq.ExecStatus) -> pq.abc.PGresult:
    if result is None:
        raise errors.OperationalError("there is no result")
    if result.status != expected:
        # All that comes after an error is that the connection is ready again.
        while pgconn.get_result() is not None:
            pass
        raise errors.error_from_result(result)
    return result
