"""The ways in which connecting fails.

They are told apart by words, since libpq gives no SQLSTATE of a failed login. Its own words are English;
those of a server are in the language of its ``lc_messages``, which no client may choose. Of words in another
language is known who said them, and whether the password had been sent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from lakebase_api.lakebase.credentials import CredentialError

# How malformed answers of others surface, and mistakes of theirs or of ours: the log has a traceback of them.
MISTAKES = (KeyError, AttributeError, TypeError)

# libpq puts it before what a server says, in the server's language, with two blanks behind.
SEVERITY = re.compile(r"[^:\"]{1,40}:  ")

LESS = "Lower WEB_CONCURRENCY, DB_POOL_SIZE or DB_MAX_OVERFLOW, or take a larger compute"
REACH = "Correct PGHOST and PGPORT, and see that they can be reached from here"


@dataclass(frozen=True)
class Failure:
    """A way to fail: a pattern of the error's words, the step of connecting they mean, and what mends it.

    Without ``words`` something else tells it apart.

    ``said`` is for anybody, without a name of a host, a role or a database. ``passes`` by itself: a database
    that wakes up or fails over is like that for a while.
    """

    words: str
    step: str
    said: str
    mend: str
    statement: str = ""
    passes: bool = False

    def build_sql(self, role: str, database: str) -> tuple[str, ...]:
        """The statements that mend it, for this role and database."""
        if not self.statement:
            return ()
        names = {"role": sql.Identifier(role), "database": sql.Identifier(database)}
        return (sql.SQL(self.statement).format(**names).as_string(None),)


class Unsuitable(psycopg.OperationalError):
    """A connection was opened, and cannot be used: ``failure`` says why."""

    def __init__(self, text: str, failure: Failure) -> None:
        super().__init__(text)
        self.failure = failure


LOGIN_REFUSED = Failure(
    "authentication failed",
    "login",
    "the login was refused",
    "Correct PGUSER, or in its absence DATABRICKS_CLIENT_ID, and PGPASSWORD, where there is one",
)
NO_ROLE = Failure('role ".*does not exist', "login", "the role does not exist", "Correct PGUSER")
NO_CONNECTION_LEFT = Failure(
    "too many|slots are reserved", "login", "the database has no connection left", LESS, passes=True
)
NO_TOKEN = Failure(
    "",
    "workspace",
    "the workspace gave no token, host or user",
    "See DATABRICKS_HOST and what the app may do there",
)
UNREACHED = Failure("", "host", "the last connect failed", REACH)

POOLER = Failure(
    "startup parameter|command-line options",
    "host",
    "what answers is a connection pooler, which this service cannot use",
    "Set PGHOST and PGPORT to those of the database itself, not of its pooler",
)
NOT_UTF8 = Failure(
    "",
    "database",
    "the encoding of the database is not UTF8",
    "Serve a database that was made with ENCODING 'UTF8': dump this one, and restore it into such a one",
)
# What a server says in words that are not known, before it has the password and after.
NOT_LET_IN = Failure(
    "",
    "login",
    "the database did not let the service in",
    "What the server says has to be mended there, unless it passes by itself",
    passes=True,
)
NOT_LOGGED_IN = Failure(
    "",
    "login",
    "the database refused the login",
    "Correct PGUSER, PGDATABASE or PGPASSWORD, where there is one, or whatever the server names",
)
# What a new password, or fewer connections, may help against.
MAY_BE_PASSWORD = (LOGIN_REFUSED, NOT_LOGGED_IN)
MAY_BE_FULL = (NO_CONNECTION_LEFT, NOT_LET_IN, NOT_LOGGED_IN)

NO_LOGIN = Failure(
    "not permitted to log in",
    "login",
    "the role may not log in",
    "Who may alter roles runs",
    "ALTER ROLE {role} LOGIN",
)
NO_CONNECT = Failure(
    "permission denied for database",
    "database",
    "the role may not connect to the database",
    "The owner of the database runs",
    "GRANT CONNECT ON DATABASE {database} TO {role}",
)

# As PostgreSQL and poolers word them; the first that fits.
# https://github.com/postgres/postgres/blob/REL_16_STABLE/src/backend/libpq/auth.c
SAID_BY_SERVER = (
    LOGIN_REFUSED,
    NO_ROLE,
    NO_CONNECTION_LEFT,
    POOLER,
    Failure("is starting up", "login", "the database is starting up", "That mends itself", passes=True),
    Failure("is shutting down", "login", "the database is shutting down", "That mends itself", passes=True),
    NO_LOGIN,
    Failure(
        r"pg_hba\.conf",
        "login",
        "the database does not let the role in from here",
        "Have pg_hba.conf of the server let the role in with a password",
    ),
    NO_CONNECT,
    Failure(
        'database ".*does not exist',
        "database",
        "the database does not exist",
        "Set PGDATABASE to the name of a database that is there",
    ),
)
# As libpq words them; the first that fits.
SAID_BY_LIBPQ = (
    Failure(
        "does not match host name",
        "TLS",
        "the certificate of the database was not accepted",
        "Set PGHOST to a name that the certificate has, or PGSSLMODE=verify-ca",
    ),
    Failure(
        "certificate",
        "TLS",
        "the certificate of the database was not accepted",
        "Set PGSSLROOTCERT to a file with the authority that signed it, or PGSSLMODE=require",
    ),
    Failure(
        "does not support ssl",
        "TLS",
        "TLS could not be agreed on",
        "Have the server offer TLS or, for one on this machine, set PGSSLMODE=disable",
    ),
    Failure(
        "ssl",
        "TLS",
        "TLS could not be agreed on",
        "Correct PGHOST and PGPORT: what listens there does not agree on TLS",
    ),
    Failure("timeout expired", "host", "the database did not answer", REACH, passes=True),
    Failure("unreachable|no route to host", "host", "the database did not answer", REACH),
    Failure("resolve host", "host", "the host of the database is not known", "Correct PGHOST"),
    Failure(
        "refused",
        "host",
        "the database refused the connection",
        f"{REACH}; its compute may be stopped",
        passes=True,
    ),
)


def classify(error: psycopg.Error | CredentialError) -> Failure:
    """In which way an attempt to connect failed."""
    if isinstance(error, CredentialError):
        return NO_TOKEN
    if isinstance(error, Unsuitable):
        return error.failure
    # The words before are the host's, which could be any.
    said = first_line(error).rpartition(" failed: ")[2]
    if not SEVERITY.match(said):
        return _find(said, SAID_BY_LIBPQ, UNREACHED)
    has_sent_password = error.pgconn is not None and error.pgconn.used_password
    return _find(said, SAID_BY_SERVER, NOT_LOGGED_IN if has_sent_password else NOT_LET_IN)


def _find(said: str, failures: Sequence[Failure], otherwise: Failure) -> Failure:
    return next((each for each in failures if re.search(each.words, said, re.IGNORECASE)), otherwise)


def first_line(error: Exception) -> str:
    """The error in one line, for the log."""
    return next(iter(str(error).splitlines()), type(error).__name__)
