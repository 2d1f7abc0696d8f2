"""What a local run says when the API answers: where, and what to ask it first."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from lakebase_api.local import tpch
from lakebase_api.local.data import LocalData
from lakebase_api.local.sample_rows import make_keys
from lakebase_api.local.sample_values import show_example
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind

WELCOME = """
The API answers at {url} with {content}. Its documentation: {url}/docs
How it is doing, and who asks for what: {url}/status

{requests}

Ctrl-C ends it; the data stays in {folder}.
"""
CHANGE = "curl -X POST {url}/{key}/{path} -H 'Content-Type: application/json' -d '{body}'"


def welcome(url: str, data: LocalData, folder: Path) -> str:
    """The text."""
    requests = "\n".join(f"  {line}" for table in data.tables for line in _show_requests(url, table, data))
    return WELCOME.format(url=url, content=_show_content(data), requests=requests, folder=folder)


def _show_content(data: LocalData) -> str:
    content = []
    if data.orders:
        content.append(f"{tpch.expected_orders(data.scale):,} TPC-H orders")
    if data.made_up:
        content.append(f"made-up rows of {', '.join(table.name for table in data.made_up)}")
    return " and ".join(content)


def _show_requests(url: str, table: Table, data: LocalData) -> Iterator[str]:
    own, key = f"{url}/{table.name}", "1"
    if table is not data.orders:
        key = "/".join(quote(part, safe=":") for part in make_keys(table, 1)[0])
    yield f"curl {own}/{key}"
    yield f"curl '{own}/stream?page_size=5'"
    for column in islice(table.changeable, 1):
        assert column.change is not None
        body = json.dumps({column.name: _find_new_value(column)}, ensure_ascii=False)
        yield CHANGE.format(url=own, key=key, path=column.change.path, body=body.replace("'", "'\\''"))


def _find_new_value(column: Column) -> object:
    """A value to change to: the first declared, else the example, else ``null``."""
    value = column.values[0] if column.values else column.example
    if value is None or column.type.kind in (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT, Kind.BOOLEAN):
        return value
    return show_example(column) if value is column.example else value
