"""Reads the values that the file of declared tables has for a column."""

import datetime
import math
from collections.abc import Mapping
from typing import Any

from lakebase_api.table.types import TIMES, Kind, Type
from lakebase_api.table.values import PARSERS, parse_value

DAYS_AND_TIMES = (str, datetime.date, datetime.time)
# What a value of each kind is in TOML; the others are texts.
WRITTEN: Mapping[Kind, tuple[type, ...]] = {
    Kind.INTEGER: (int,),
    Kind.NUMERIC: (int, float, str),
    Kind.FLOAT: (int, float, str),
    Kind.BOOLEAN: (bool,),
    **dict.fromkeys(TIMES, DAYS_AND_TIMES),
}


def read_value(kind: Type, value: object) -> str:
    """A value as a text that a caller would send. Raises ``ValueError`` with what is wrong with it."""
    if kind.element is not None:
        return read_value(kind.element, value)
    expected = WRITTEN.get(kind.kind, (str,))
    if not isinstance(value, expected) or (isinstance(value, bool) and kind.kind is not Kind.BOOLEAN):
        raise ValueError(f"must be {_name(expected)}, as {kind.name} is.")
    text = _spell(value)
    if kind.bits and isinstance(value, int) and not -(2 ** (kind.bits - 1)) <= value < 2 ** (kind.bits - 1):
        raise ValueError(f"is no value of {kind.name}.")
    if kind.length is not None and len(text) > kind.length:
        raise ValueError(f"must have {kind.length} characters at most.")
    if kind.kind in PARSERS or kind.kind in (Kind.TEXT, Kind.ENUM):
        try:
            return _spell(parse_value(kind, text))
        except ValueError as error:
            raise ValueError(f"{str(error)[0].lower()}{str(error)[1:]}") from None
    return text


def read_example(kind: Type, value: object, *, is_text: bool) -> Any:
    """An example as JSON has it. Raises ``ValueError`` with what is wrong with it.

    ``is_text``: numbers are texts in JSON.
    """
    shown = _to_json(value)
    if kind.kind is Kind.JSON:
        return shown
    if kind.kind is Kind.ARRAY:
        if not isinstance(shown, list) or kind.element is None:
            raise ValueError("must be a list.")
        for element in shown:
            read_value(kind.element, element)
        return shown
    if is_text and isinstance(shown, str) and kind.kind is Kind.INTEGER:
        parse_value(kind, shown)
    else:
        read_value(kind, value)
    return str(shown) if is_text else shown


def _to_json(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _to_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_to_json(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a number that JSON has.")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _name(expected: tuple[type, ...]) -> str:
    if bool in expected:
        return "true or false"
    if str not in expected:
        return "a whole number"
    return "a number" if int in expected else "a text"
