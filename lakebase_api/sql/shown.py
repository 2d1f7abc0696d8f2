"""How SQL shows the columns of a row, for JSON and for CSV: what no connection loads well is made a text."""

from collections.abc import Iterable
from enum import StrEnum

from psycopg import sql

from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Column
from lakebase_api.table.types import Kind, Type

# In a json column line breaks stay as they were written, but a line of NDJSON is one row. In texts within it
# there are none.
ON_ONE_LINE = "translate({column}::text, E'\\n\\r', '  ')"
# Readers of JSON that check times take Z for UTC, and not all of them an offset.
# https://www.rfc-editor.org/rfc/rfc3339#section-5.6
TIME_IN_UTC = "replace(to_json({column}) #>> '{{}}', '+00:00', 'Z')"
TIMES_IN_UTC = "replace(to_json({column})::text, '+00:00', 'Z')::json"


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
        return sql.SQL(choose_array_form(column.type) if form is Form.JSON else "({column})::text").format(
            column=shown
        )
    if column.type.kind is Kind.JSON and column.type.name == "json" and form is Form.JSON:
        return sql.SQL(ON_ONE_LINE).format(column=shown)
    return shown


def choose_array_form(kind: Type) -> str:
    """How SQL shows an array in JSON."""
    is_of_times = kind.element is not None and kind.element.kind is Kind.TIMESTAMPTZ
    return TIMES_IN_UTC if is_of_times else "to_json({column})"
