"""Which step of connecting failed, and what mends it: by words, since a failed login has no code."""

from dataclasses import dataclass

from psycopg import sql

LESS = "Lower WEB_CONCURRENCY, DB_POOL_SIZE or DB_MAX_OVERFLOW, or take a larger compute"


@dataclass(frozen=True)
class Failure:
    """A way to fail: words that the error has all of, the step they mean, and what mends it."""

    words: tuple[str, ...]
    step: str
    mend: str
    statement: str = ""

    def build_sql(self, role: str, database: str) -> tuple[str, ...]:
        """The statements that mend it, for this role and database."""
        if not self.statement:
            return ()
        names = {"role": sql.Identifier(role), "database": sql.Identifier(database)}
        return (sql.SQL(self.statement).format(**names).as_string(None),)


LOGIN_REFUSED = Failure(("authentication failed",), "login", "Correct PGUSER and PGPASSWORD")
NO_ROLE = Failure(('role "', "does not exist"), "login", "Correct PGUSER")

# As PostgreSQL and libpq word them; the first that fits.
FAILURES = (
    LOGIN_REFUSED,
    NO_ROLE,
    Failure(("not permitted to log in",), "login", "Who may alter roles runs", "ALTER ROLE {role} LOGIN"),
    Failure(("pg_hba.conf",), "login", "Have pg_hba.conf of the server let the role in with a password"),
    Failure(
        ("permission denied for database",),
        "database",
        "The owner of the database runs",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
    ),
    Failure(
        ('database "', "does not exist"), "database", "Set PGDATABASE to the name of a database that is there"
    ),
    Failure(("too many",), "login", LESS),
    Failure(("slots are reserved",), "login", LESS),
    Failure(("fatal:",), "login", "Run this again in a few seconds"),
    Failure(
        ("does not match host name",),
        "TLS",
        "Set PGHOST to a name that the certificate has, or PGSSLMODE=verify-ca",
    ),
    Failure(
        ("certificate",),
        "TLS",
        "Set PGSSLROOTCERT to a file with the authority that signed it, or PGSSLMODE=require",
    ),
    Failure(
        ("does not support ssl",),
        "TLS",
        "Have the server offer TLS or, for one on this machine, set PGSSLMODE=disable",
    ),
    Failure(("ssl",), "TLS", "Correct PGHOST and PGPORT: what listens there does not agree on TLS"),
)
UNREACHED = Failure((), "host", "Correct PGHOST and PGPORT, and see that they can be reached from here")


def classify(text: str) -> Failure:
    """What the first line of a connect's error means."""
    # The words before are the host's, which could be any.
    said = text.rpartition(" failed: ")[2].lower()
    return next((failure for failure in FAILURES if all(word in said for word in failure.words)), UNREACHED)
