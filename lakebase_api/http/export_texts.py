"""The text of an export in the documentation, made of the names and examples of a declared table."""

import json
from decimal import Decimal
from typing import Any

from lakebase_api.http.csv_ndjson import write_csv
from lakebase_api.http.json_response import ENCODER
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind

TEXT = """\
Export the {name} after a cursor.

Streamed in the order of the keys. An export is not one snapshot: it reads the table a range of keys at a
time, so that nobody has to wait for it, and shows each {one} as it was at some moment of the export.

It ends by itself after `EXPORT_TIME_LIMIT` seconds, or those of `X-Request-Timeout`, and when the service
is stopped. In NDJSON the last line then is `{{"next_cursor":…}}`: ask again with that cursor, until it is
`null`. In CSV, and with `trailer=false`, nothing but rows is sent: ask again with `cursor` as the
{key} of the last row, until an answer has no row. Of an answer that was cut on its way, drop what
follows the last whole row and go on after that one, in either format.
"""
# The cursor of a number is what it is in any URL.
ENCODED = """
The cursors of lists are others. One of an export is a key: `next_cursor` can stand in a URL as it is; have
one that you make of a row encoded, as any value of a query.
"""
ESCAPED = """
With `quote_formulas` the key in a row may have an apostrophe more than its {one}: go on without it.
"""
RESULT = "The {name}; in NDJSON with a last line that says where to go on, unless `trailer` is `false`."


def describe_export(table: Table) -> str:
    """Summary and description of the operation."""
    text = TEXT
    if not table.has_integer_key:
        text += ENCODED
    if any(column.type.kind is Kind.TEXT for column in table.key):
        text += ESCAPED
    key = "/".join(f"`{name}`" for name in table.key_names)
    return text.format(name=table.name.replace("_", " "), one=table.one.replace("_", " "), key=key)


def describe_result(table: Table) -> str:
    """What an answer has."""
    return RESULT.format(name=table.name.replace("_", " "))


def show_ndjson(table: Table) -> str:
    """An answer in NDJSON."""
    row = {column.name: column.example for column in table.columns}
    return f'{ENCODER.encode(row).decode()}\n{{"next_cursor":null}}\n'


def show_csv(table: Table) -> str:
    """An answer in CSV."""
    cells = [_show_cell(column) for column in table.columns]
    return write_csv(table.names, [cells]).decode()


def _show_cell(column: Column) -> Any:
    """The example as ``COPY`` writes values of the column."""
    example = column.example
    if isinstance(example, float):
        return Decimal(str(example))
    if isinstance(example, list):
        return f"{{{','.join(map(str, example))}}}"
    if isinstance(example, dict):
        return json.dumps(example)
    if column.type.kind is Kind.TIMESTAMPTZ and isinstance(example, str):
        return example.replace("T", " ", 1).replace("Z", "+00")
    return example if isinstance(example, int | None) else str(example)
