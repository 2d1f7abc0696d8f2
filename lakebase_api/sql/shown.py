"""How SQL shows the columns of a row, for JSON and for CSV: what no connection loads well is made a text."""

from collections.abc import Iterable
from enum import StrEnum

from psycopg import sql

from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Column
from lakebase_api.table.types import Kind

# In a json column line breaks stay as they were written, but a line of NDJSON is one row. In texts within it
# there are none.
ON_ONE_LINE = "translate({column}::text, E'\\n\\r', '  ')"


class Form(StrEnum):
    """What values are shown in."""

    JSON = "json"
    CSV = "csv"


def show_as(source: Source, names: Iterable[str], form: Form) -> sql.Composable:
    """A list of columns, each under its name, as that form has their values."""
    return sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_show(source, source.table.by_name[name], form), sql.Identifier(name))
        for name in names
    )


def _show(source: Source, column: Column, form: Form) -> sql.Composable:
    shown = source.show_column(column.name)
    if column.type.kind is Kind.ARRAY:
        # Connections load a list, from which neither text can be told.
        return sql.SQL("to_json({})" if form is Form.JSON else "({})::text").format(shown)
    if column.type.kind is Kind.JSON and column.type.name == "json" and form is Form.JSON:
        return sql.SQL(ON_ONE_LINE).format(column=shown)
    return shown
