"""The app's own tables beside the orders table: what keeps status changes, and how they are made.

The orders table itself is only ever read: it may be rewritten, or dropped and made anew, at any time, so
nothing here refers to it. A change belongs to an order of a schema and table by their names.
"""

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connecting import Connection

STATUS_TABLE = "order_status"
HISTORY_TABLE = "order_status_history"
IDEMPOTENCY_TABLE = "idempotency"
VERSION_TABLE = "schema_version"

# What the app does with each table; the history is append-only.
TABLE_PRIVILEGES = {
    VERSION_TABLE: "SELECT",
    STATUS_TABLE: "SELECT, INSERT, UPDATE",
    HISTORY_TABLE: "SELECT, INSERT",
    IDEMPOTENCY_TABLE: "SELECT, INSERT, UPDATE, DELETE",
}

# Each entry brings the tables from the version before to its own, counted from 1. A released entry never
# changes, and what it does must leave the release before it working: hosts are replaced one by one.
MIGRATIONS = (
    """
    CREATE TABLE {schema}.order_status (
        o_orderkey bigint NOT NULL,
        source_schema text COLLATE "C" NOT NULL,
        source_table text COLLATE "C" NOT NULL,
        o_orderstatus text, -- NULL: the change was withdrawn
        synced_status text, -- what the orders table said when the change was made
        version bigint NOT NULL,
        PRIMARY KEY (o_orderkey, source_schema, source_table)
    );
    CREATE TABLE {schema}.order_status_history (
        o_orderkey bigint NOT NULL,
        source_schema text COLLATE "C" NOT NULL,
        source_table text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        old_status text,
        new_status text,
        synced_status text,
        is_withdrawal boolean NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_by text NOT NULL,
        request_id text NOT NULL,
        idempotency_key text,
        PRIMARY KEY (o_orderkey, source_schema, source_table, version)
    );
    CREATE TABLE {schema}.idempotency (
        source_schema text COLLATE "C" NOT NULL,
        source_table text COLLATE "C" NOT NULL,
        caller text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        fingerprint text NOT NULL,
        answer jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (key, caller, source_schema, source_table)
    );
    CREATE INDEX ON {schema}.idempotency (created_at);
    """,
)

EXISTS = "SELECT to_regclass({table}) IS NOT NULL"

# One at a time, whatever the host. The number is the lock's name, and arbitrary.
LOCK = "SELECT pg_advisory_xact_lock(4732058861)"
SCHEMA_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = {name})"
CREATE_SCHEMA = "CREATE SCHEMA {schema}"
CREATE_VERSIONS = """
CREATE TABLE IF NOT EXISTS {schema}.schema_version (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
READ_VERSION = "SELECT coalesce(max(version), 0)::integer FROM {schema}.schema_version"
NOTE_VERSION = "INSERT INTO {schema}.schema_version (version) VALUES ({version})"


def exists(connection: Connection, schema: str) -> bool:
    """Whether the tables are there. Raises ``InsufficientPrivilege`` when the role may not look."""
    table = sql.Literal(sql.Identifier(schema, STATUS_TABLE).as_string(None))
    return _is_true(connection.execute(sql.SQL(EXISTS).format(table=table)))


def set_up(connection: Connection, schema: str) -> int:
    """Make the schema and its tables, or bring them to this release; how many migrations that took.

    In a transaction of its own, and safe to run from several hosts at once. Needs CREATE on the database, or
    to own the schema where it is there. Raises psycopg's errors, and then nothing has changed.
    """
    names = {"schema": sql.Identifier(schema), "name": sql.Literal(schema)}

    def run(statement: str, **parts: sql.Composable) -> Cursor[TupleRow]:
        return connection.execute(sql.SQL(statement).format(**names, **parts))

    with connection.transaction():
        run(LOCK)
        # Not "IF NOT EXISTS", which asks for CREATE on the database even then.
        if not _is_true(run(SCHEMA_EXISTS)):
            run(CREATE_SCHEMA)
        run(CREATE_VERSIONS)
        [(done,)] = run(READ_VERSION).fetchall()
        for version, migration in enumerate(MIGRATIONS[done:], done + 1):
            run(migration)
            run(NOTE_VERSION, version=sql.Literal(version))
    return len(MIGRATIONS[done:])


def grants(schema: str, role: str) -> list[str]:
    """The SQL that lets a role that does not own the tables work with them."""
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    statements = [sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names)]
    for table, privileges in TABLE_PRIVILEGES.items():
        statement = sql.SQL(f"GRANT {privileges} ON {{table}} TO {{role}}")
        statements.append(statement.format(table=sql.Identifier(schema, table), **names))
    return [statement.as_string(None) for statement in statements]


def _is_true(cursor: Cursor[TupleRow]) -> bool:
    return cursor.fetchone() == (True,)
