"""Fields of bodies that change columns: each gives the text that PostgreSQL reads, or ``None`` for NULL."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from lakebase_api.http.change_validators import NOT_FINITE, Among, Digits, Whole
from lakebase_api.http.json_response import GREATEST_EXACT
from lakebase_api.http.paging import INTEGER
from lakebase_api.table.declaration import Column
from lakebase_api.table.types import NUMBERS, Kind
from lakebase_api.table.values import MAX_BIGINT, MIN_BIGINT, parse_shown

NUMBER_TEXT = re.compile(r"-?[0-9]{1,1000}(\.[0-9]{1,1000})?")
FLOAT_TEXT = re.compile(NUMBER_TEXT.pattern + r"([eE][+-]?[0-9]{1,3})?")
HEXADECIMAL = re.compile(r"\\x([0-9a-fA-F]{2})*")
# Whole numbers with an exponent are read no further than this.
MAX_EXPONENT = 20
FORMATS = {
    Kind.UUID: {"format": "uuid"},
    Kind.DATE: {"format": "date"},
    Kind.TIMESTAMPTZ: {"format": "date-time"},
}


class KeyInteger(fields.Integer):
    """A JSON integer, which `1.0` is too, or the text of one that JavaScript would round; `true` is none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        whole = _read_integer(value)
        if whole is None:
            raise self.make_error("invalid", input=value)
        return whole


class KeyText(fields.String):
    """A part of a key that is no number, in the form of those in paths."""

    def __init__(self, column: Column, **options: Any) -> None:
        super().__init__(**options)
        self._column = column

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        return _parse(self._column, text or "")


class NewInteger(fields.Integer):
    """A whole number, or the text of one where that is what answers have."""

    def __init__(self, *, takes_text: bool, metadata: dict[str, Any], **options: Any) -> None:
        types = {"type": ["integer", "string"]} if takes_text else {}
        super().__init__(metadata={**metadata, **types}, **options)
        self._takes_text = takes_text

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if self._takes_text and isinstance(value, str) and INTEGER.fullmatch(value):
            return str(int(value))
        whole = _read_integer(value)
        if whole is None:
            raise self.make_error("invalid", input=value)
        return str(whole)


class NewNumber(fields.Decimal):
    """A number with all its digits, or the text of one that JSON has not."""

    text = NUMBER_TEXT

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value in NOT_FINITE:
            return value
        if isinstance(value, str) and self.text.fullmatch(value):
            return value
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.make_error("invalid", input=value)
        return f"{Decimal(value):f}"


class NewFloat(NewNumber):
    """As ``NewNumber``, of a column that PostgreSQL shows with an exponent where it is short."""

    text = FLOAT_TEXT


class NewBoolean(fields.Boolean):
    """``true`` or ``false``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return "true" if value else "false"


class NewText(fields.String):
    """Any other value, as lists show it."""

    def __init__(self, column: Column, **options: Any) -> None:
        super().__init__(**options)
        self._column = column

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs) or ""
        kind = self._column.type.kind
        if kind in (Kind.TEXT, Kind.ENUM):
            if "\0" in text:
                raise ValidationError("Must not have the character U+0000.")
            return text
        if kind is Kind.BYTES:
            if not HEXADECIMAL.fullmatch(text):
                raise ValidationError(r"Must be bytes such as \x00ff.")
            return text
        return str(_parse(self._column, text))


def build_new_value(
    column: Column, description: str, *, takes_null: bool, **options: Any
) -> fields.Field[Any]:
    """The field of a new value. Of an item in a list, or one that must be there, ``options`` say more."""
    options = {
        "validate": list(_list_validators(column)),
        "allow_none": takes_null,
        "metadata": {**describe_value(column), "description": description, **_give_example(column)},
        **options,
    }
    kind = column.type.kind
    if kind is Kind.INTEGER:
        return NewInteger(takes_text=column.is_text_in_json, **options)
    if kind in NUMBERS:
        return NewFloat(**options) if kind is Kind.FLOAT else NewNumber(**options)
    return NewBoolean(**options) if kind is Kind.BOOLEAN else NewText(column, **options)


def build_key_part(column: Column, *, is_checked: bool = False) -> fields.Field[Any]:
    """The field of a part of a key; ``is_checked`` where it is read."""
    example = {} if column.example is None else {"example": column.example}
    if column.type.kind is not Kind.INTEGER:
        return KeyText(column, required=True, metadata={**FORMATS.get(column.type.kind, {}), **example})
    within = validate.Range(MIN_BIGINT, MAX_BIGINT, error="Must be between {min} and {max}.")
    validators = [within] if is_checked else []
    return KeyInteger(required=True, metadata={"format": "int64", **example}, validate=validators)


def build_shown_value(
    column: Column, description: str = "", *, allow_none: bool = True, shows_old: bool = False
) -> fields.Field[Any]:
    """The field of a value as answers have it; the example is what it changes to unless it ``shows_old``."""
    old = {} if column.example is None else {"example": column.example}
    metadata = {**describe_value(column), **(old if shows_old else _give_example(column))}
    if description:
        metadata = {"description": description, **metadata}
    kinds: dict[Kind, Callable[..., fields.Field[Any]]] = {
        Kind.INTEGER: fields.Integer,
        Kind.NUMERIC: fields.Raw,
        Kind.FLOAT: fields.Raw,
        Kind.BOOLEAN: fields.Boolean,
    }
    build = fields.String if column.is_text_in_json else kinds.get(column.type.kind, fields.String)
    return build(required=True, allow_none=allow_none, metadata=metadata)


def describe_value(column: Column) -> dict[str, Any]:
    """What the document says of the values beside their type."""
    kind = column.type.kind
    if kind is Kind.INTEGER and not column.is_text_in_json:
        return {"format": "int64" if column.type.bits > 32 else "int32"}
    if kind in (Kind.NUMERIC, Kind.FLOAT):
        # A number that JSON has not is a text. Fields that allow for `null` add it.
        return {"type": ["number", "string"]}
    return dict(FORMATS.get(kind, {}))


def _give_example(column: Column) -> dict[str, Any]:
    example = column.values[0] if column.values and column.type.kind is Kind.TEXT else column.example
    return {} if example is None else {"example": example}


def _list_validators(column: Column) -> list[validate.Validator]:
    kind = column.type
    if column.values:
        among = validate.OneOf(column.values, error="Must be one of: {choices}.")
        return [among if kind.kind in (Kind.TEXT, Kind.ENUM) else Among(column.values)]
    if kind.length is not None:
        return [validate.Length(max=kind.length, error="Must have at most {max} characters.")]
    if kind.kind is Kind.INTEGER:
        return [Whole(kind.bits)]
    return [Digits(kind.name)] if kind.kind is Kind.NUMERIC else []


def _read_integer(value: Any) -> int | None:
    if isinstance(value, Decimal) and value.adjusted() < MAX_EXPONENT and value == value.to_integral_value():
        return int(value)
    if isinstance(value, str) and INTEGER.fullmatch(value) and abs(int(value)) > GREATEST_EXACT:
        return int(value)
    return value if type(value) is int else None


def _parse(column: Column, text: str) -> Any:
    try:
        return parse_shown(column.type, text)
    except ValueError as error:
        raise ValidationError(str(error)) from None
