"""Judges the table of what has no history: that the app can add to it, and that it can do no more."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from lakebase_api.doctor.changes import SETUP
from lakebase_api.doctor.names import quote
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import Check, advised, failed, passed, skipped
from lakebase_api.sql.audit_table import PRIVILEGES, TABLE

AUDIT = "audit"
# Who owns a table, or its schema, may give themselves every right, or drop it.
FIND = """
SELECT pg_get_userbyid(relowner)::text AS owner,
    has_schema_privilege(role.oid, nspname, 'USAGE') AND has_table_privilege(role.oid, pg_class.oid, 'INSERT')
        AND has_table_privilege(role.oid, pg_class.oid, 'SELECT') AS may_work,
    has_table_privilege(role.oid, pg_class.oid, 'UPDATE, DELETE, TRUNCATE')
        OR has_any_column_privilege(role.oid, pg_class.oid, 'UPDATE')
        OR pg_has_role(role.oid, relowner, 'MEMBER') OR pg_has_role(role.oid, nspowner, 'MEMBER')
        AS may_change
FROM pg_roles AS role, pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE rolname = %(role)s AND nspname = %(schema)s AND relname = %(table)s AND relkind = 'r'
"""


MAY_MAKE = """
SELECT coalesce(
    (SELECT has_schema_privilege(role.oid, pg_namespace.oid, 'CREATE') FROM pg_namespace WHERE nspname = %s),
    has_database_privilege(role.oid, current_database(), 'CREATE')
)
FROM pg_roles AS role WHERE rolname = %s
"""


@dataclass(frozen=True)
class AuditFacts:
    """The owner of the table; whether a role may add to it and read it, and change what is there."""

    owner: str
    may_work: bool
    may_change: bool


def find_audit(connection: Connection, schema: str, role: str) -> AuditFacts | None:
    """What is known of the table; ``None`` if there is none, or no such role. Raises psycopg's errors."""
    values = {"role": role, "schema": schema, "table": TABLE}
    return connection.cursor(row_factory=class_row(AuditFacts)).execute(FIND, values).fetchone()


def judge_audit(connection: Connection | None, schema: str, role: str | None = None) -> Check:
    """The check for the role, by default that of the session, if there is one."""
    if connection is None:
        return skipped(AUDIT, "no connection")
    role = role or connection.info.user
    try:
        found = find_audit(connection, schema, role)
        may_make = connection.execute(MAY_MAKE, (schema, role)).fetchone() == (True,)
    except psycopg.Error as error:
        return skipped(AUDIT, first_line(error))
    if found is None:
        return _judge_absence(quote(schema, TABLE), role, may_make=may_make)
    return _judge(found, schema, role)


def _judge_absence(table: str, role: str, *, may_make: bool) -> Check:
    # The service makes nothing that a person would own.
    if may_make and "@" not in role:
        return passed(AUDIT, f"{table} is made at the first connection")
    return advised(
        AUDIT,
        f"there is no {table}, and {role} does not make it: exports, refusals and starts are not kept",
        mend=f"Whoever owns the schema, or may make it, runs `{SETUP} --role {role}`",
        sql=(),
    )


def _judge(found: AuditFacts, schema: str, role: str) -> Check:
    table = quote(schema, TABLE)
    if not found.may_work:
        schema_name, name = quote(schema), quote(role)
        return failed(
            AUDIT,
            f"{role} may not add to {table}, or not read it: exports, refusals and starts are not kept",
            mend=f"Its owner, {found.owner}, runs",
            sql=(
                f"GRANT USAGE ON SCHEMA {schema_name} TO {name}",
                f"GRANT {', '.join(PRIVILEGES)} ON {table} TO {name}",
            ),
        )
    if found.may_change:
        return advised(
            AUDIT,
            f"{role} may change or delete what {table} has, which is {found.owner}'s",
            mend=f"To have it append-only, who may give the tables away runs "
            f"`{SETUP} --owner-role <another role> --role {role}`",
            sql=(),
        )
    return passed(AUDIT, f"{table} is append-only to {role}")
