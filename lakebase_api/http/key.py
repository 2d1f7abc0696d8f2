"""The key of a row in a path: one segment for each of its columns."""

from typing import Any, NoReturn

from werkzeug.routing import BaseConverter

from lakebase_api.http.path_segments import restore_slashes
from lakebase_api.http.problem_types import build_not_found
from lakebase_api.http.problems import Problem
from lakebase_api.http.validation import refuse
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind
from lakebase_api.table.values import MAX_BIGINT, MIN_BIGINT, Value, parse_shown

Key = tuple[Value, ...]


class KeyConverter(BaseConverter):
    """One column of a key. What is none of its type is 422."""

    column: Column
    parameter: str

    def to_python(self, value: str) -> Value:
        """The value. Problems: it is none."""
        try:
            return parse_shown(self.column.type, restore_slashes(value))
        except ValueError as error:
            refuse([{"in": "path", "name": self.parameter, "detail": str(error)}])


def build_converter(table: Table, column: Column, siblings: tuple[str, ...]) -> type[KeyConverter]:
    """The converter of a column of the key.

    ``siblings`` stand in a path where a key would: asked for in a way that they do not allow they are no keys
    either.
    """
    others = f"(?!(?:{'|'.join(siblings)})$)" if len(table.key) == 1 else ""
    names = {
        "regex": f"{others}[^/]+",
        # werkzeug works it out anew for each class with a regex: with a slash in it, it is taken for a path.
        "part_isolating": True,
        "column": column,
        "parameter": name_parameter(table, column),
    }
    return type(_name_converter(table, column), (KeyConverter,), names)


def name_parameter(table: Table, column: Column) -> str:
    """What a column of the key is called in paths: ``order_key``, or its own name if there are several."""
    return column.name if len(table.key) > 1 else f"{table.one}_key"


def spell_path(table: Table) -> str:
    """A key in a rule of werkzeug."""
    return "/".join(f"<{_name_converter(table, key)}:{name_parameter(table, key)}>" for key in table.key)


def _name_converter(table: Table, column: Column) -> str:
    """A name that werkzeug takes, whatever the column is called, and that no other column of a key has."""
    return f"{table.one}_{table.key.index(column)}"


def describe_key(column: Column) -> dict[str, Any]:
    """The schema of a column of a key, for the documentation."""
    example = {} if column.example is None else {"example": column.example}
    if column.type.kind is Kind.INTEGER:
        bounds = {"minimum": MIN_BIGINT, "maximum": MAX_BIGINT}
        return {"type": "integer", "format": "int64", **bounds, **example}
    formats = {Kind.UUID: "uuid", Kind.DATE: "date", Kind.TIMESTAMPTZ: "date-time"}
    known = {"format": formats[column.type.kind]} if column.type.kind in formats else {}
    return {"type": "string", **known, **example}


def spell_key(key: Key) -> str:
    """The key as texts have it, such as ``1/3``."""
    return "/".join(map(str, key))


def refuse_unknown(table: Table, key: Key) -> NoReturn:
    """Answer 404: there is no row of that key."""
    raise Problem(build_not_found(table), f"There is no {table.one.replace('_', ' ')} {spell_key(key)}.")
