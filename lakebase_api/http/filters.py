"""Filters: the query parameters that a table has for them, and the predicates that they mean."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from marshmallow import ValidationError, fields, validate

from lakebase_api.http.types import ASKED, describe_parameter
from lakebase_api.sql.filters import name_parameters, restrict_column
from lakebase_api.sql.predicates import EVERYTHING, Operator, Predicates
from lakebase_api.table.declaration import Column, Filter, Table
from lakebase_api.table.types import TIMES, Kind, Type
from lakebase_api.table.values import Value, parse_value

MAX_ALTERNATIVES = 50
MAX_JSON = 1000
ANY_OF_THEM = "Given several times: any of them."
ALL_OF_THEM = "Given several times: all of them."

Fields = dict[str, fields.Field[Any]]
Parse = Callable[[str], Any]


class ValueField(fields.Raw):
    """A text of a query that stands for a value. ``parse`` raises ``ValueError`` with a message."""

    def __init__(self, parse: Parse, **options: Any) -> None:
        super().__init__(**options)
        self._parse = parse

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._parse(super()._deserialize(value, *args, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


def build_filter_fields(table: Table) -> Fields:
    """The parameters of a table's filters, by name."""
    found: Fields = {}
    for column in table.columns:
        for asked in column.filters:
            found |= BUILDERS[asked](table, column)
    return found


def build_predicates(table: Table, query: Mapping[str, Any]) -> Predicates:
    """The filters of a checked query, in which a list is of alternatives; what is no filter is left aside.

    Equal filters give equal predicates, in whatever order their values are asked for.
    """
    found = EVERYTHING
    for name, column, asked, operator in _list_parameters(table):
        if name in query:
            found += restrict_column(column, asked, operator, query[name])
    return found


def name_filters(table: Table) -> list[str]:
    """The parameters of a table's filters."""
    return [name for name, *_ in _list_parameters(table)]


@cache
def _list_parameters(table: Table) -> list[tuple[str, Column, Filter, Operator]]:
    return [
        (name, column, asked, operator)
        for column in table.columns
        for asked in column.filters
        for name, operator in name_parameters(column, asked).items()
    ]


def _parse(kind: Type, values: tuple[str, ...]) -> Parse:
    """Reads a value, one of those declared if there are any."""

    def parse(text: str) -> Value:
        if values and text not in values:
            raise ValueError(f"Must be one of: {', '.join(values)}.")
        return parse_value(kind, text)

    return parse


def _parse_json(text: str) -> str:
    if len(text) > MAX_JSON:
        raise ValueError(f"Must have at most {MAX_JSON} characters.")
    try:
        content = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        raise ValueError("Must be JSON.") from None
    if "\x00" in text or _has_null_character(content):
        raise ValueError("Must not have the character U+0000.")
    return text


def _has_null_character(content: Any) -> bool:
    if isinstance(content, str):
        return "\x00" in content
    if isinstance(content, dict):
        return any(_has_null_character(part) for item in content.items() for part in item)
    return isinstance(content, list) and any(map(_has_null_character, content))


def _several(field: fields.Field[Any], description: str) -> fields.List[Any]:
    return fields.List(
        field,
        validate=validate.Length(1, MAX_ALTERNATIVES, error="Must be at most {max} values."),
        metadata={"description": description},
    )


def _begin(table: Table, column: Column) -> str:
    return f"{table.name.replace('_', ' ').capitalize()} whose `{column.name}`"


def _build_any(table: Table, column: Column) -> Fields:
    described = describe_parameter(column.type, column)
    field = ValueField(_parse(column.type, column.values), metadata=described)
    return {column.name: _several(field, f"{_begin(table, column)} is this. {ANY_OF_THEM}")}


def _build_range(table: Table, column: Column) -> Fields:
    found: Fields = {}
    bounds = ("later", "earlier") if column.type.kind in TIMES else ("more", "less")
    for name, bound in zip(column.range_names, bounds, strict=True):
        described = describe_parameter(column.type, column)
        described["description"] = f"{_begin(table, column)} is this or {bound}."
        found[name] = ValueField(_parse(column.type, ()), metadata=described)
    return found


def _build_null(table: Table, column: Column) -> Fields:
    described = {"description": f"{_begin(table, column)} is NULL; with `false` those in which it is not."}
    return {f"{column.name}_null": build_boolean(described)}


def _build_prefix(table: Table, column: Column) -> Fields:
    described = {**ASKED[Kind.TEXT], "description": f"{_begin(table, column)} begins with this."}
    return {f"{column.name}_prefix": ValueField(_parse(column.type, ()), metadata=described)}


def _build_contains(table: Table, column: Column) -> Fields:
    name = f"{column.name}_contains"
    if column.type.element is None:
        described = {
            "type": "string",
            "maxLength": MAX_JSON,
            "description": f"{_begin(table, column)} contains this JSON, as `@>` of PostgreSQL has it.",
        }
        return {name: ValueField(_parse_json, metadata=described)}
    field = ValueField(
        _parse(column.type.element, column.values), metadata=describe_parameter(column.type.element, column)
    )
    return {name: _several(field, f"{_begin(table, column)} has this among others. {ALL_OF_THEM}")}


def build_boolean(described: Mapping[str, Any], **options: Any) -> fields.Boolean:
    """A parameter that is true or false."""
    return fields.Boolean(
        truthy={"true", "True"}, falsy={"false", "False"}, metadata=dict(described), **options
    )


BUILDERS: dict[Filter, Callable[[Table, Column], Fields]] = {
    Filter.ANY: _build_any,
    Filter.RANGE: _build_range,
    Filter.NULL: _build_null,
    Filter.PREFIX: _build_prefix,
    Filter.CONTAINS: _build_contains,
}
