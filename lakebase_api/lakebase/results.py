"""The results of statements that are waited for in a way of the caller's."""

from collections.abc import Callable

from psycopg import errors, pq

# Gets the descriptor of a connection's socket, and returns when there is something to read. What it raises
# leaves the statement running.
Wait = Callable[[int], None]


def fetch_row(
    pgconn: pq.abc.PGconn, statement: bytes, values: list[bytes | None], wait: Wait
) -> list[bytes | None] | None:
    """The first row of a statement with ``$1`` and so on for the values, if there is one.

    Raises psycopg's errors.
    """
    pgconn.send_query_params(statement, values)
    pgconn.flush()  # so short a statement goes as one
    result = check_result(pgconn, fetch_result(pgconn, wait), pq.ExecStatus.TUPLES_OK)
    finish_statement(pgconn, wait)
    return [result.get_value(0, column) for column in range(result.nfields)] if result.ntuples else None


def fetch_result(pgconn: pq.abc.PGconn, wait: Wait) -> pq.abc.PGresult | None:
    """The next result of what runs, ``None`` where there is none left. Raises psycopg's errors."""
    while pgconn.is_busy():
        wait(pgconn.socket)
        pgconn.consume_input()
    return pgconn.get_result()


def check_result(
    pgconn: pq.abc.PGconn, result: pq.abc.PGresult | None, expected: pq.ExecStatus
) -> pq.abc.PGresult:
    """The result, if it is as expected. Raises psycopg's errors."""
    if result is None:
        raise errors.OperationalError("there is no result")
    if result.status != expected:
        # All that comes after an error is that the connection is ready again.
        while pgconn.get_result() is not None:
            pass
        raise errors.error_from_result(result)
    return result


def finish_statement(pgconn: pq.abc.PGconn, wait: Wait) -> None:
    """Take what is left of a statement that goes well. Raises psycopg's errors."""
    while (result := fetch_result(pgconn, wait)) is not None:
        check_result(pgconn, result, pq.ExecStatus.COMMAND_OK)
