"""The SQL that lets a role serve a table."""

from psycopg import sql

GRANTS = "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {table} TO {role};"
GRANT_UPDATE = " For status updates also: GRANT UPDATE ON {table} TO {role};"


def explain_missing_grant(schema: str, table: str, role: str | None) -> str:
    """A line for the log: what to check, and the SQL that grants what the service needs."""
    names = {
        "schema": sql.Identifier(schema),
        "table": sql.Identifier(schema, table),
        "role": sql.Identifier(role or "?"),
    }
    statements = sql.SQL(GRANTS + GRANT_UPDATE).format(**names).as_string(None)
    return f"If the table {schema}.{table} exists, its owner mends it with: {statements}"
