"""What is wrong with the table when the database says so, and the SQL or setting that mends it."""

import psycopg
from psycopg import errors, sql

GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {table} TO {role};"
    " For status updates also: GRANT UPDATE ON {table} TO {role};"
)


FAULTS: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: "a grant is missing",
    errors.UndefinedTable: "the table is missing",
    errors.InvalidSchemaName: "the schema is missing",
    errors.UndefinedColumn: "the table has other columns",
}
SETUP_FAULTS = tuple(FAULTS)


class SetupLog:
    """What the database last said of the table. Safe to use from any thread."""

    def __init__(self) -> None:
        # Without a name of a host, a role or a table; ``None`` while the table can be read.
        self.fault: str | None = None

    def note(self, error: psycopg.Error) -> None:
        """A statement met one of ``SETUP_FAULTS``."""
        self.fault = next(words for kind, words in FAULTS.items() if isinstance(error, kind))


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
