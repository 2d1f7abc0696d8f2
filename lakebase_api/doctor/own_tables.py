"""Judges the tables of the service's own: that the app can work with them, and with the audit do no more."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from lakebase_api.doctor.changes import SETUP
from lakebase_api.doctor.names import quote
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import Check, advised, failed, passed, skipped
from lakebase_api.sql.own_tables import AUDIT_TABLE, OWN_TABLES, USAGE_TABLE, OwnTable

# What becomes of what cannot be written.
LOSSES = {
    AUDIT_TABLE.name: "exports, refusals and starts are not kept",
    USAGE_TABLE.name: "usage is kept in memory alone, of the last 24 hours",
}
# Who owns a table, or its schema, may give themselves every right, or drop it.
FIND = """
SELECT pg_get_userbyid(relowner)::text AS owner,
    has_schema_privilege(role.oid, nspname, 'USAGE') AND (
        SELECT bool_and(has_table_privilege(role.oid, pg_class.oid, privilege))
        FROM unnest(%(privileges)s::text[]) AS privilege
    ) AS may_work,
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
class TableFacts:
    """The owner of a table; whether a role may do with it what the service does, and change what is there."""

    owner: str
    may_work: bool
    may_change: bool


def find_own_table(connection: Connection, table: OwnTable, schema: str, role: str) -> TableFacts | None:
    """What is known of the table; ``None`` if there is none, or no such role. Raises psycopg's errors."""
    values = {"role": role, "schema": schema, "table": table.name, "privileges": list(table.privileges)}
    return connection.cursor(row_factory=class_row(TableFacts)).execute(FIND, values).fetchone()


def judge_own_tables(connection: Connection | None, schema: str, role: str | None = None) -> list[Check]:
    """A check of each for the role, by default that of the session, if there is one."""
    if connection is None:
        return [skipped(table.name, "no connection") for table in OWN_TABLES]
    return [_judge(connection, table, schema, role or connection.info.user) for table in OWN_TABLES]


def _judge(connection: Connection, table: OwnTable, schema: str, role: str) -> Check:
    try:
        found = find_own_table(connection, table, schema, role)
        may_make = connection.execute(MAY_MAKE, (schema, role)).fetchone() == (True,)
    except psycopg.Error as error:
        return skipped(table.name, first_line(error))
    if found is None:
        return _judge_absence(table, schema, role, may_make=may_make)
    return _judge_rights(table, found, schema, role)


def _judge_absence(table: OwnTable, schema: str, role: str, *, may_make: bool) -> Check:
    name = quote(schema, table.name)
    # The service makes nothing that a person would own.
    if may_make and "@" not in role:
        return passed(table.name, f"{name} is made at the first connection")
    return advised(
        table.name,
        f"there is no {name}, and {role} does not make it: {LOSSES[table.name]}",
        mend=f"Whoever owns the schema, or may make it, runs `{SETUP} --role {role}`",
        sql=(),
    )


def _judge_rights(table: OwnTable, found: TableFacts, schema: str, role: str) -> Check:
    name = quote(schema, table.name)
    if not found.may_work:
        return failed(
            table.name,
            f"{role} may not do all of {', '.join(table.privileges)} on {name}: {LOSSES[table.name]}",
            mend=f"Its owner, {found.owner}, runs",
            sql=(
                f"GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)}",
                f"GRANT {', '.join(table.privileges)} ON {name} TO {quote(role)}",
            ),
        )
    if table is not AUDIT_TABLE:
        return passed(table.name, f"{role} may write {name}")
    if found.may_change:
        return advised(
            table.name,
            f"{role} may change or delete what {name} has, which is {found.owner}'s",
            mend=f"To have it append-only, who may give the tables away runs "
            f"`{SETUP} --owner-role <another role> --role {role}`",
            sql=(),
        )
    return passed(table.name, f"{name} is append-only to {role}")
