"""How what the doctor says names tables, and where their names come from."""

from psycopg import sql

from lakebase_api.lakebase.findings import FIRST
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table

KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}
NAMES = "DEFAULT_POSTGRES_SCHEMA and DEFAULT_POSTGRES_TABLE"


def quote(*names: str) -> str:
    """An identifier as SQL has it."""
    return sql.Identifier(*names).as_string(None)


def quote_source(table: Table) -> str:
    """The table or view that is behind a declared table."""
    return quote(table.schema, table.source)


def name_kind(kind: str | None) -> str:
    """What a relation is, in words."""
    return KINDS[kind or "r"]


def name_setting(table: Table, settings: Settings) -> str:
    """What names the source of the table, for whoever is to correct it."""
    return NAMES if table.name == FIRST else f"`source` of [{table.name}] in {settings.tables_file}"


def name_changes(table: Table) -> str:
    """What the tables that keep changes of a declared table keep."""
    return "status changes" if table.name == FIRST else f"changes of {table.name}"


def suggest(table: Table, similar: list[tuple[str, str]]) -> str:
    """Tables that may have been meant, as what names the source has them."""
    if table.name == FIRST:
        meant = (
            f"DEFAULT_POSTGRES_SCHEMA={schema} DEFAULT_POSTGRES_TABLE={name}" for schema, name in similar
        )
    else:
        meant = (f'"{schema}.{name}"' for schema, name in similar)
    words = " or ".join(meant)
    return f" ({words})" if words else ""
