"""The types of columns as JSON Schema, for the documentation."""

from collections.abc import Mapping
from typing import Any

from lakebase_api.table.declaration import Column
from lakebase_api.table.types import NUMBERS, Kind, Type
from lakebase_api.table.values import MAX_BIGINT, MAX_TEXT, MIN_BIGINT

NOT_A_NUMBER = (
    "Written with the digits the database holds; what is no number of JSON is the text `NaN`, `Infinity` or "
    "`-Infinity`."
)
NOT_A_DATE = (
    "What no calendar of four-digit years has is as PostgreSQL writes it: `infinity`, `-infinity`, "
    "`10000-01-01`, `0044-03-15 BC`."
)
TIME_IN_UTC = "In UTC; what has no four-digit year is as PostgreSQL writes it, such as `infinity`."
WITHOUT_ZONE = "Without a zone: `2026-01-02T13:45:00`."
BYTES = "In hexadecimal digits, after `\\x`."

# As values are in an answer.
SHOWN: Mapping[Kind, Mapping[str, Any]] = {
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMERIC: {"type": ["number", "string"], "description": NOT_A_NUMBER},
    Kind.FLOAT: {"type": ["number", "string"], "description": NOT_A_NUMBER},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TEXT: {"type": "string"},
    Kind.ENUM: {"type": "string"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.DATE: {"type": "string", "format": "date", "description": NOT_A_DATE},
    Kind.TIME: {"type": "string", "description": "A time of day: `13:45:00`."},
    Kind.TIMESTAMP: {"type": "string", "description": WITHOUT_ZONE},
    Kind.TIMESTAMPTZ: {"type": "string", "format": "date-time", "description": TIME_IN_UTC},
    Kind.JSON: {"description": "Any JSON, with the digits the database holds."},
    Kind.BYTES: {"type": "string", "pattern": r"^\\x([0-9a-f]{2})*$", "description": BYTES},
}
# As they are in a query: numbers that are not whole as texts, since a client that has them as binary floats
# may write an exponent, or other digits.
ASKED: Mapping[Kind, Mapping[str, Any]] = {
    Kind.INTEGER: {"type": "integer", "format": "int64", "minimum": MIN_BIGINT, "maximum": MAX_BIGINT},
    Kind.NUMERIC: {"type": "string", "pattern": r"^-?[0-9]{1,16}(\.[0-9]{1,4})?$"},
    Kind.FLOAT: {
        "type": "string",
        "pattern": r"^-?[0-9]{1,16}(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?$",
    },
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TEXT: {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": r"^[^\u0000-\u001f]*$"},
    Kind.ENUM: {"type": "string"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIME: {"type": "string", "pattern": r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$"},
    Kind.TIMESTAMP: {
        "type": "string",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$",
    },
    Kind.TIMESTAMPTZ: {"type": "string", "format": "date-time"},
}


def describe_column(column: Column) -> dict[str, Any]:
    """The schema of a column in an answer."""
    described = _describe(column.type, is_text=column.is_text_in_json)
    if column.description:
        described["description"] = column.description
    if column.type.kind is Kind.ENUM:
        described["enum"] = [*column.values, *([None] if column.may_be_null else [])]
    if column.may_be_null and "type" in described:
        described["type"] = [*_list_types(described), "null"]
    if column.example is not None:
        described["example"] = column.example
    return described


def describe_parameter(kind: Type, column: Column) -> dict[str, Any]:
    """The schema of a value, or of an element, of a column in a query."""
    described = dict(ASKED[kind.kind])
    if column.values:
        described = {"type": described["type"], "enum": list(map(_convert(kind.kind), column.values))}
    if column.example is not None and kind is column.type:
        as_text = described["type"] == "string"
        described["example"] = str(column.example) if as_text else column.example
    return described


def _describe(kind: Type, *, is_text: bool = False) -> dict[str, Any]:
    if kind.element is not None:
        element = _describe(kind.element)
        element["type"] = [*_list_types(element), "null"]
        # Few have several dimensions; generators make no type that compiles of a schema that allows for them.
        told = "An array of several dimensions, if there is one, is an array of arrays."
        return {"type": "array", "items": element, "description": told}
    described = dict(SHOWN[kind.kind])
    if kind.kind in NUMBERS and is_text:
        return {**described, "type": "string"}
    if kind.kind is Kind.INTEGER:
        described["format"] = "int64" if kind.bits > 32 else "int32"
    if kind.length is not None:
        described["maxLength"] = kind.length
    return described


def _list_types(described: Mapping[str, Any]) -> list[str]:
    types = described["type"]
    return [types] if isinstance(types, str) else list(types)


def _convert(kind: Kind) -> Any:
    return {Kind.INTEGER: int, Kind.BOOLEAN: lambda text: text == "true"}.get(kind, str)
