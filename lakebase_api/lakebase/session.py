"""What each session has, whatever its role, the database, the server or the environment say."""

import os
import secrets
import select

import psycopg
from psycopg import pq
from psycopg.types.string import TextLoader

from lakebase_api.lakebase.failures import NOT_UTF8, POOLER, Unsuitable
from lakebase_api.lakebase.results import fetch_row
from lakebase_api.settings import VARIABLES

# Seconds to wait for the answer to the one statement that makes a session ready.
PATIENCE = 5.0
ENCODING = "UTF8"
# All that decides how PostgreSQL reads what it is sent, what a statement means, and how values are written.
# What a client asks for at its start wins over what roles, databases and the server have.
# https://www.postgresql.org/docs/current/runtime-config-client.html
SETTINGS = {
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    # Nothing of the database's own can take the place of a function or operator of PostgreSQL.
    "search_path": "pg_catalog,public",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "on",
    "plan_cache_mode": "auto",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
# Limits that are switched off too, and the release that each has come with: older servers refuse its name.
LATER_LIMITS = {"idle_session_timeout": 140000, "transaction_timeout": 170000}
# A name for the session: one that does not know it was not opened for this connection.
MARK = "lakebase_api.session"

# Types whose values are read as texts.
TEXTS = (
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "bytea",
    "json",
    "jsonb",
    "float4",
    "float8",
)

# Variables of the environment that libpq reads beside those of its connection options.
# https://www.postgresql.org/docs/current/libpq-envars.html
OTHER_VARIABLES = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGLOCALEDIR")


def compose_options(statement_timeout: int) -> str:
    """The settings as libpq's ``options`` takes them; the timeout in milliseconds."""
    settings = {**SETTINGS, "statement_timeout": str(statement_timeout)}
    return " ".join(_compose_option(name, value) for name, value in settings.items())


def mark_options(options: str) -> tuple[str, str]:
    """The options with a mark that no other session has, and the mark."""
    mark = secrets.token_hex(8)
    return f"{options} {_compose_option(MARK, mark)}", mark


def prepare_session(connection: psycopg.Connection[tuple[object, ...]], mark: str) -> None:
    """Make a new session ready. Raises ``Unsuitable``, and psycopg's errors.

    It costs one statement: a pooler in between may drop the options, or give each transaction a session of
    another.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise Unsuitable(f"the encoding of the database is {encoding}, not {ENCODING}", NOT_UTF8)
    if _adapt(connection) != mark.encode():
        raise Unsuitable("the session has not the settings that were asked for", POOLER)
    keep_values(connection)


def keep_values(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Have rows hold every value that PostgreSQL has: as it writes them, where Python's types lack some.

    Python's dates have no infinity and no year but 1 to 9999. A number within JSON keeps its digits.
    """
    for name in TEXTS:
        connection.adapters.register_loader(name, TextLoader)


def forget_variables() -> list[str]:
    """Drop the variables that libpq would read beside the settings; the names of those there were.

    Some of them win over everything else that is asked for. Call it before there are threads.
    """
    known = {name for variable in VARIABLES.values() for name in variable.names}
    options = (option.envvar for option in pq.Conninfo.get_defaults())
    read = {*OTHER_VARIABLES, *(name.decode() for name in options if name)}
    return sorted(name for name in read - known if os.environ.pop(name, ""))


def _adapt(connection: psycopg.Connection[tuple[object, ...]]) -> bytes | None:
    """Switch off the limits that the server's release has, and read the mark."""
    wanted = [f"current_setting('{MARK}', true)"]
    for name, release in LATER_LIMITS.items():
        if connection.info.server_version >= release:
            wanted.append(f"set_config('{name}', '0', false)")
    row = fetch_row(connection.pgconn, f"SELECT {', '.join(wanted)}".encode(), [], _wait)
    return row[0] if row else None


def _wait(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(PATIENCE * 1000):
        raise psycopg.OperationalError("timeout expired")


def _compose_option(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace(" ", r"\ ")
    return f"-c {name}={escaped}"
