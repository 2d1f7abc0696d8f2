"""Compares a declared table with what the database has."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lakebase_api.introspection.catalogue import FoundColumn, FoundTable
from lakebase_api.introspection.draft import read_type, shorten
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Type, UnknownType, has_other_numbers


@dataclass(frozen=True)
class Difference:
    """What is declared, and what the database has; ``None`` for what is not there at all."""

    what: str
    declared: str | None
    found: str | None

    @property
    def lines(self) -> Iterator[str]:
        """A line for each side that has something."""
        if self.declared is not None:
            yield f"- {self.what} {self.declared}"
        if self.found is not None:
            yield f"+ {self.what} {self.found}"


def compare(table: Table, found: FoundTable | None) -> Iterator[Difference]:
    """What the service would not serve, or document otherwise than it is.

    Columns are opt-in: that more are there is no difference.
    """
    if found is None:
        yield Difference("source", f"{table.schema}.{table.source}", None)
        return
    columns = {column.name: column for column in found.columns}
    for column in table.columns:
        yield from _compare_column(table, found, column, columns.get(column.name))
    yield from _compare_key(table, found)


def find_undeclared(table: Table, found: FoundTable) -> list[str]:
    """The columns that are there and not declared, each with its type."""
    return [
        " ".join(f"{column.name} {shorten(column.type)}".split())  # a name may hold a line end
        for column in found.columns
        if column.name not in table.by_name
    ]


def _compare_column(
    table: Table, found: FoundTable, declared: Column, column: FoundColumn | None
) -> Iterator[Difference]:
    if column is None:
        yield Difference(declared.name, shorten(declared.type.name), None)
        return
    if not _serves_as(declared.type, column):
        yield Difference(declared.name, shorten(declared.type.name), shorten(column.type))
    elif unknown := _find_unknown(declared, column):
        yield Difference(declared.name, f"values {', '.join(unknown)}", f"values {', '.join(column.labels)}")
    # No column of a view is NOT NULL, as far as PostgreSQL knows.
    if column.may_be_null and not declared.may_be_null and not found.is_view:
        yield Difference(declared.name, "null = false", "null = true")


def _serves_as(declared: Type, column: FoundColumn) -> bool:
    """Whether a column holds what is declared: one of the types that serve as well, and nothing wider."""
    try:
        kind = read_type(column)
    except UnknownType:
        return False
    if declared.enum:
        return kind.enum is not None and _split(declared.name) == _split(kind.name)
    # As regtype prints it: without a length.
    plain = re.sub(r"\(.*?\)", "", column.type)
    is_shorter = declared.length is None or (kind.length is not None and kind.length <= declared.length)
    return plain in declared.family and is_shorter and not has_other_numbers(declared, plain)


def _split(name: str) -> str:
    """The name of a type without its schema, which need not be declared."""
    return name.rpartition(".")[2]


def _find_unknown(declared: Column, column: FoundColumn) -> list[str]:
    """The values that the enum of the database has not."""
    return [value for value in declared.values if declared.type.enum and value not in column.labels]


def _compare_key(table: Table, found: FoundTable) -> Iterator[Difference]:
    """Of a view no index says anything; doctor looks at its rows."""
    if found.kind == "v" or not table.key_names:
        return
    unique = [index.columns for index in found.indexes if index.is_unique]
    if not any(set(columns) <= set(table.key_names) for columns in unique):
        known = "; ".join(f"[{', '.join(columns)}]" for columns in unique) or "no unique index"
        yield Difference("key", f"[{', '.join(table.key_names)}]", known)
