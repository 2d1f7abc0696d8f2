"""Reads the file of declared tables."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Change, Column, Filter, Table, Writes
from lakebase_api.table.types import find_type


def load_tables(settings: Settings) -> tuple[Table, ...]:
    """The tables of ``TABLES_FILE``, with what the settings say of orders."""
    content = tomllib.loads(Path(settings.tables_file).read_text("utf-8"))
    return tuple(_read_table(name, content[name], settings) for name in content)


def _read_table(name: str, declared: Mapping[str, Any], settings: Settings) -> Table:
    schema, source = declared["source"].split(".")
    writes, transitions = Writes(declared.get("writes", "overlay")), declared.get("transitions", ())
    if name == "orders":
        schema, source = settings.schema, settings.table
        writes, transitions = Writes(settings.status_writes), settings.status_transitions
    pairs = tuple(tuple(pair.split(">")) for pair in transitions)
    columns = tuple(_read_column(column, inner, pairs) for column, inner in declared["columns"].items())
    return Table(name, declared["one"], schema, source, columns, tuple(declared["key"]), writes)


def _read_column(name: str, declared: Mapping[str, Any], pairs: Any) -> Column:
    asked = declared.get("filter", ())
    change = declared.get("change")
    return Column(
        name,
        find_type(declared["type"], is_enum="values" in declared),
        may_be_null=declared.get("null", False),
        filters=tuple(map(Filter, [asked] if isinstance(asked, str) else asked)),
        values=tuple(declared.get("values", ())),
        is_sortable=declared.get("sort", True),
        is_text_in_json=declared.get("as") == "string",
        change=Change(change["path"], pairs) if change else None,
        description=declared.get("description", ""),
        example=declared.get("example"),
    )
