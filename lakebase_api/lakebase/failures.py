"""The ways in which connecting fails: told apart by words, since a failed login has no SQLSTATE."""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from lakebase_api.lakebase.credentials import CredentialError

LESS = "Lower WEB_CONCURRENCY, DB_POOL_SIZE or DB_MAX_OVERFLOW, or take a larger compute"
REACH = "Correct PGHOST and PGPORT, and see that they can be reached from here"


@dataclass(frozen=True)
class Failure:
    """A way to fail: words that the error has all of, the step of connecting they mean, and what mends it.

    ``said`` is for anybody, without a name of a host, a role or a database. ``passes`` by itself: a database
    that wakes up or fails over is like that for a while.
    """

    words: tuple[str, ...]
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


LOGIN_REFUSED = Failure(
    ("authentication failed",),
    "login",
    "the login was refused",
    "Correct PGUSER, or in its absence DATABRICKS_CLIENT_ID, and PGPASSWORD, where there is one",
)
NO_ROLE = Failure(('role "', "does not exist"), "login", "the role does not exist", "Correct PGUSER")
NO_CONNECTION_LEFT = (
    Failure(("too many",), "login", "the database has no connection left", LESS, passes=True),
    Failure(("slots are reserved",), "login", "the database has no connection left", LESS, passes=True),
)
NO_TOKEN = Failure(
    (),
    "workspace",
    "the workspace gave no token, host or user",
    "See DATABRICKS_HOST and what the app may do there",
)
UNREACHED = Failure((), "host", "the last connect failed", REACH)

# As PostgreSQL and libpq word them; the first that fits.
# https://github.com/postgres/postgres/blob/REL_16_STABLE/src/backend/libpq/auth.c
FAILURES = (
    LOGIN_REFUSED,
    NO_ROLE,
    *NO_CONNECTION_LEFT,
    Failure(("is starting up",), "login", "the database is starting up", "That mends itself", passes=True),
    Failure(
        ("is shutting down",), "login", "the database is shutting down", "That mends itself", passes=True
    ),
    Failure(
        ("not permitted to log in",),
        "login",
        "the role may not log in",
        "Who may alter roles runs",
        "ALTER ROLE {role} LOGIN",
    ),
    Failure(
        ("pg_hba.conf",),
        "login",
        "the database does not let the role in from here",
        "Have pg_hba.conf of the server let the role in with a password",
    ),
    Failure(
        ("permission denied for database",),
        "database",
        "the role may not connect to the database",
        "The owner of the database runs",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
    ),
    Failure(
        ('database "', "does not exist"),
        "database",
        "the database does not exist",
        "Set PGDATABASE to the name of a database that is there",
    ),
    Failure(("fatal:",), "login", "the last connect failed", "Run this again in a few seconds"),
    Failure(
        ("does not match host name",),
        "TLS",
        "the certificate of the database was not accepted",
        "Set PGHOST to a name that the certificate has, or PGSSLMODE=verify-ca",
    ),
    Failure(
        ("certificate",),
        "TLS",
        "the certificate of the database was not accepted",
        "Set PGSSLROOTCERT to a file with the authority that signed it, or PGSSLMODE=require",
    ),
    Failure(
        ("does not support ssl",),
        "TLS",
        "TLS could not be agreed on",
        "Have the server offer TLS or, for one on this machine, set PGSSLMODE=disable",
    ),
    Failure(
        ("ssl",),
        "TLS",
        "TLS could not be agreed on",
        "Correct PGHOST and PGPORT: what listens there does not agree on TLS",
    ),
    Failure(("timeout expired",), "host", "the database did not answer", REACH, passes=True),
    Failure(("unreachable",), "host", "the database did not answer", REACH),
    Failure(("no route to host",), "host", "the database did not answer", REACH),
    Failure(("resolve host",), "host", "the host of the database is not known", "Correct PGHOST"),
    Failure(
        ("refused",),
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
    # The words before are the host's, which could be any.
    said = first_line(error).rpartition(" failed: ")[2].lower()
    return next((failure for failure in FAILURES if all(word in said for word in failure.words)), UNREACHED)


def first_line(error: Exception) -> str:
    """The error in one line, for the log."""
    return next(iter(str(error).splitlines()), type(error).__name__)
