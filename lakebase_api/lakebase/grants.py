"""What is wrong with the table when the database says so, and the SQL or setting that mends it."""

import psycopg
from psycopg import errors, sql

GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {table} TO {role};"
    " For status updates also: GRANT UPDATE ON {table} TO {role};"
)


def explain_setup_fault(error: psycopg.Error, schema: str, table: str, role: str | None) -> str:
    """A line for the log: what the database said, and what to do about it."""
    said = f"{error.diag.message_primary}."
    if isinstance(error, errors.UndefinedColumn):
        return f"{said} The table {schema}.{table} must have the columns of TPC-H orders."
    mend = f"The owner of the table runs: {_grants(schema, table, role)}"
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{said} {mend}"
    return (
        f"{said} Is {schema}.{table}, of DEFAULT_POSTGRES_SCHEMA and DEFAULT_POSTGRES_TABLE, the right name? "
        f"A table that is created anew needs its grants anew. {mend}"
    )


def _grants(schema: str, table: str, role: str | None) -> str:
    names = {
        "schema": sql.Identifier(schema),
        "table": sql.Identifier(schema, table),
        "role": sql.Identifier(role or "?"),
    }
    return sql.SQL(GRANTS).format(**names).as_string(None)
