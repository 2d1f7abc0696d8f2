"""What every list of a table takes beside filters: its order, its fields, its form, and keys."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

from marshmallow import ValidationError, fields, validate

from lakebase_api.http.filters import Fields, ValueField, build_boolean
from lakebase_api.http.key import Key, spell_key
from lakebase_api.http.paging import (
    GREAT_INTEGERS_MEANING,
    GREATEST_PAGE,
    QueryInteger,
    great_integers_field,
    page_size_field,
)
from lakebase_api.sql.sorting import MAX_COLUMNS, parse_sort, sort_by_key
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind
from lakebase_api.table.values import INTEGER, MAX_BIGINT, MIN_BIGINT, Value, parse_shown

MAX_KEYS = 200
# What a part of a key has encoded where several stand in one parameter.
ENCODED_KINDS = (Kind.TEXT,)
# For the documentation, as ECMA-262 has them.
CURSOR_PATTERN = "^(-?[0-9]{1,19}|c[A-Za-z0-9_-]+)$"
TOKEN_PATTERN = "^c[A-Za-z0-9_-]+$"  # noqa: S105  no secret
INTEGER_KEYS_PATTERN = f"^-?0*[0-9]{{1,19}}(,-?0*[0-9]{{1,19}}){{0,{MAX_KEYS - 1}}}$"
SPECIAL = re.compile(r"[.*+?^${}()|\[\]\\/]")
FIELDS_MEANING = "Fields to show, in this order, each once, separated by commas; all if absent."


class FieldsField(fields.String):
    """Names of fields to show, each once."""

    def __init__(self, names: tuple[str, ...], **options: Any) -> None:
        super().__init__(**options)
        self._names = names

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        names = tuple(super()._deserialize(value, *args, **kwargs).split(","))
        if unknown := [name for name in names if name not in self._names]:
            raise ValidationError(f"Has no field {unknown[0]!r}. There are {', '.join(self._names)}.")
        if len(set(names)) < len(names):
            raise ValidationError("Names a field twice.")
        return names


class CursorField(fields.Raw):
    """A key, or a token of an earlier answer."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if not INTEGER.fullmatch(text):
            return text
        if not MIN_BIGINT <= int(text) <= MAX_BIGINT:
            raise ValidationError(f"Must be between {MIN_BIGINT} and {MAX_BIGINT}.")
        return int(text)


def build_form_fields(table: Table) -> Fields:
    """The parameters that say what the rows of an answer are to look like."""
    return {
        **build_shown_fields(table),
        "quote_formulas": build_boolean(
            {
                "description": "In CSV, whether text that a spreadsheet would run as a formula gets a "
                "`'` before."
            },
            load_default=False,
        ),
        "bom": build_boolean(
            {"description": "In CSV, whether it begins with a byte order mark, by which Excel knows UTF-8."},
            load_default=False,
        ),
    }


def build_shown_fields(table: Table) -> Fields:
    """The parameters that say what a row in JSON is to look like."""
    described = describe_fields(table)
    return {
        "shown": FieldsField(
            table.names,
            data_key="fields",
            # Not told: a generated client would send it with each request.
            load_default=lambda: table.names,
            metadata={**described["schema"], "description": FIELDS_MEANING, "example": described["example"]},
        ),
        "great_integers": great_integers_field(),
    }


def build_sort_field(table: Table, default: str | None = None) -> fields.Field[Any]:
    """The order of a list: ``default``, or that of the keys, if absent."""
    key = ",".join(table.key_names)
    absent = "that of the keys" if default is None else f"`{default}`"
    any_column = _match_any(table.sortable)
    more = MAX_COLUMNS + len(table.key) - 2
    other = next((column for column in table.sortable if column not in table.key_names), None)
    return ValueField(
        lambda text: parse_sort(text, table),
        load_default=sort_by_key(table) if default is None else parse_sort(default, table),
        metadata={
            "description": f"Up to {MAX_COLUMNS} columns to sort by beside the key, each once, with a `-` "
            "before it to descend. NULL is greater than every value. The key decides between equals; the "
            f"order is {absent} if absent.",
            "type": "string",
            "pattern": f"^-?{any_column}(,-?{any_column}){{0,{more}}}$",
            "default": default or key,
            "example": f"-{other},{key}" if other else key,
        },
    )


def build_pages_fields(table: Table) -> Fields:
    """The parameters of a list by page number, beside filters and form."""
    return {
        "sort": build_sort_field(table),
        "page": QueryInteger(
            load_default=1,
            validate=validate.Range(1, GREATEST_PAGE, error="Must be between {min} and {max}."),
            metadata={"description": "Number of the page, counted from 1."},
        ),
        "page_size": page_size_field(),
        "include_count": build_boolean(
            {"description": f"Whether to count the {_spell(table.name)}; `false` is faster on large tables."},
            load_default=True,
        ),
    }


def build_stream_fields(table: Table, default_sort: str | None = None) -> Fields:
    """The parameters of a list by cursor, beside filters and form."""
    by_key = " In the order of the keys it is the key to start after." if table.has_integer_key else ""
    cursor = CursorField if table.has_integer_key else fields.Raw
    described = {
        "description": "Where to begin: a cursor of an earlier answer with these filters and this sort; "
        f"at the start if absent.{by_key}",
        # Text, though it may be a key: few generators can write a parameter that has one of two types.
        "type": "string",
        "pattern": CURSOR_PATTERN if table.has_integer_key else TOKEN_PATTERN,
    }
    if table.has_integer_key:
        described["example"] = "388"
    return {
        "sort": build_sort_field(table, default_sort),
        # Not told: a generated client would send it with each request.
        "cursor": cursor(load_default=lambda: None, metadata=described),
        "page_size": page_size_field(),
    }


def build_keys_field(table: Table) -> fields.Field[Any]:
    """Several keys."""
    described: dict[str, Any] = {
        "description": f"Up to {MAX_KEYS} keys, separated by commas; one given twice counts once.",
        "type": "string",
    }
    if table.has_integer_key:
        described |= {"pattern": INTEGER_KEYS_PATTERN, "example": "1,7,32"}
    else:
        described["description"] += _explain_parts(table)
        if None not in (examples := [column.example for column in table.key]):
            described["example"] = spell_asked(table, tuple(map(str, examples)))
    lists = f"/{table.name}/pages and /{table.name}/stream"
    return ValueField(
        lambda text: _parse_keys(table, text),
        required=True,
        error_messages={
            "required": f"Must be there: this path has the rows of some keys. Lists are at {lists}."
        },
        metadata=described,
    )


def spell_asked(table: Table, key: Key) -> str:
    """A key as the parameter ``keys`` has it, or what shows which were asked for."""
    if not any(column.type.kind in ENCODED_KINDS for column in table.key):
        return spell_key(key)
    return "/".join(quote(str(part), safe=" !\"#$&'()*+-.:;<=>?@[\\]^_`{|}~") for part in key)


def describe_fields(table: Table) -> dict[str, Any]:
    """The parameter ``fields``, of an operation that takes few others."""
    any_column = _match_any(table.names)
    return {
        "in": "query",
        "name": "fields",
        "description": FIELDS_MEANING,
        "schema": {"type": "string", "pattern": f"^{any_column}(,{any_column})*$"},
        "example": ",".join(_choose_examples(table)),
    }


GREAT_INTEGERS = {
    "in": "query",
    "name": "great_integers",
    "description": GREAT_INTEGERS_MEANING,
    "schema": {"type": "string", "enum": ["number", "text"]},
    "example": "number",
}


def _choose_examples(table: Table) -> tuple[str, ...]:
    others = [name for name in table.names if name not in table.key_names]
    return (*table.key_names, *others[:1])


def _parse_keys(table: Table, text: str) -> list[Key]:
    parts = text.split(",")
    if len(parts) > MAX_KEYS:
        raise ValueError(f"Must be at most {MAX_KEYS} keys.")
    if table.has_integer_key:
        if not all(INTEGER.fullmatch(part) and MIN_BIGINT <= int(part) <= MAX_BIGINT for part in parts):
            raise ValueError(f"Must be integers between {MIN_BIGINT} and {MAX_BIGINT}, separated by commas.")
        return [(key,) for key in dict.fromkeys(map(int, parts))]
    return list(dict.fromkeys(_parse_key(table, part) for part in parts))


def _parse_key(table: Table, text: str) -> Key:
    parts = text.split("/")
    is_single = len(table.key) == 1
    if is_single:
        parts = [text]
    elif len(parts) != len(table.key):
        raise ValueError(f"Must be {', '.join(table.key_names)} joined by /, and keys separated by commas.")
    return tuple(_parse_part(column, part) for column, part in zip(table.key, parts, strict=True))


def _parse_part(column: Column, text: str) -> Value:
    if column.type.kind in ENCODED_KINDS:
        text = unquote(text, errors="strict") if "%" in text else text
    try:
        return parse_shown(column.type, text)
    except ValueError as error:
        raise ValueError(f"{column.name}: {error}") from None


def _explain_parts(table: Table) -> str:
    joined = f" Each is {', '.join(table.key_names)} joined by `/`." if len(table.key) > 1 else ""
    if any(column.type.kind in ENCODED_KINDS for column in table.key):
        joined += " In a text of a key `%`, `,` and `/` are `%25`, `%2C` and `%2F`."
    return joined


def _match_any(names: Iterable[str]) -> str:
    return f"({'|'.join(SPECIAL.sub(lambda found: chr(92) + found[0], name) for name in names)})"


def _spell(name: str) -> str:
    return name.replace("_", " ")
