"""Made-up values of the declared types, as the texts that PostgreSQL reads."""

import datetime
import json
import re
import uuid
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from lakebase_api.table.declaration import Column
from lakebase_api.table.types import NUMBERS, Kind, Type

# Days from which dates and times are counted, and over how many others are scattered. Not of today: the same
# declaration has the same rows.
FIRST_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAYS = 365
SECONDS_A_DAY = 86_400
LARGEST_INTEGER = 100_000
# Of numbers with a fraction, so that they fit a `numeric(5,2)` and a `real` shows them as they are.
LARGEST_WHOLE_DIGITS, MOST_SCALE = 5, 6
MODIFIER = re.compile(r"\((\d+)(?:\s*,\s*(-?\d+))?\)")
NAMESPACE = uuid.UUID("5b0e6a5e-3d0f-4c58-9a4e-1d2f3c4b5a69")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
WORDS = ("amber", "brisk", "cedar", "delta", "ember", "fjord", "grove", "harbor", "iris", "juniper")


def make_value(column: Column, random: Random) -> str:
    """A value of the column: of its values if it has some, else like its example, else any."""
    kind = column.type
    if kind.kind is Kind.ARRAY and kind.element:
        pool = [spell_value(part) for part in column.example or ()] or column.values
        elements = [
            random.choice(pool) if pool else _make_any(kind.element, random)
            for _ in range(random.randrange(4))
        ]
        return spell_array(elements)
    if column.values:
        return random.choice(column.values)
    if column.example is not None and kind.kind in (Kind.TEXT, Kind.JSON, *NUMBERS):
        varied = _vary(column.example, random)
        return json.dumps(varied) if kind.kind is Kind.JSON else spell_value(varied)
    return _make_any(kind, random)


def show_example(column: Column) -> str | None:
    """The example of the declaration, if it has one."""
    if column.example is None:
        return None
    if column.type.kind is Kind.JSON:
        return json.dumps(column.example)
    return spell_value(column.example)


def spell_value(value: Any) -> str:
    """A value of TOML as PostgreSQL reads it."""
    if isinstance(value, list):
        return spell_array([spell_value(part) for part in value])
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def spell_array(elements: Sequence[str]) -> str:
    """An array as PostgreSQL reads it."""
    escaped = (element.replace("\\", "\\\\").replace('"', '\\"') for element in elements)
    return "{" + ",".join(f'"{element}"' for element in escaped) + "}"


def count_keys(column: Column, wanted: int) -> int:
    """How many different values of the wanted ones a column of a key can have."""
    if column.values:
        return min(wanted, len(column.values))
    if column.type.kind is Kind.TEXT and column.type.length is not None:
        return int(min(wanted, len(DIGITS) ** column.type.length))
    return min(wanted, 2**15 - 1) if column.type.bits == 16 else wanted


def make_key(column: Column, number: int) -> str:
    """The value of that number, from 0, of a column of a key: another for each number."""
    if column.values:
        return column.values[number]
    return KEY_MAKERS[column.type.kind](column.type, number)


def _make_text_key(kind: Type, number: int) -> str:
    if kind.length is None:
        return f"{WORDS[number % len(WORDS)]}-{number}"
    digits = ""
    while number or not digits:
        number, digit = divmod(number, len(DIGITS))
        digits = DIGITS[digit] + digits
    return digits


KEY_MAKERS: dict[Kind, Callable[[Type, int], str]] = {
    Kind.INTEGER: lambda _, number: str(number + 1),
    Kind.TEXT: _make_text_key,
    Kind.UUID: lambda _, number: str(uuid.uuid5(NAMESPACE, str(number))),
    Kind.DATE: lambda _, number: (FIRST_DAY - datetime.timedelta(days=number)).date().isoformat(),
    Kind.TIMESTAMPTZ: lambda _, number: (FIRST_DAY - datetime.timedelta(minutes=number)).isoformat(),
}


def _make_any(kind: Type, random: Random) -> str:
    return MAKERS[kind.kind](kind, random)


def _make_integer(kind: Type, random: Random) -> str:
    return str(random.randrange(LARGEST_INTEGER if kind.bits > 16 else 1000))


def _make_numeric(kind: Type, random: Random) -> str:
    modifier = MODIFIER.search(kind.name)
    precision, scale = (int(part or 0) for part in modifier.groups()) if modifier else (7, 2)
    whole = max(0, min(precision - scale, LARGEST_WHOLE_DIGITS))
    shown = max(0, min(scale, MOST_SCALE))
    return f"{random.randrange(10**whole)}.{random.randrange(10**shown):0{shown}}" if shown else "0"


def _make_text(kind: Type, random: Random) -> str:
    return " ".join(random.choice(WORDS) for _ in range(3))[: kind.length]


def _make_moment(random: Random) -> datetime.datetime:
    return FIRST_DAY - datetime.timedelta(seconds=random.randrange(DAYS * SECONDS_A_DAY))


MAKERS: dict[Kind, Callable[[Type, Random], str]] = {
    Kind.INTEGER: _make_integer,
    Kind.NUMERIC: _make_numeric,
    Kind.FLOAT: lambda _, random: str(random.randrange(100_000) / 100),
    Kind.BOOLEAN: lambda _, random: random.choice(("true", "false")),
    Kind.TEXT: _make_text,
    Kind.UUID: lambda _, random: str(uuid.UUID(int=random.getrandbits(128), version=4)),
    Kind.DATE: lambda _, random: _make_moment(random).date().isoformat(),
    Kind.TIME: lambda _, random: _make_moment(random).time().isoformat(),
    Kind.TIMESTAMP: lambda _, random: _make_moment(random).replace(tzinfo=None).isoformat(),
    Kind.TIMESTAMPTZ: lambda _, random: _make_moment(random).isoformat(),
    Kind.JSON: lambda _, random: json.dumps({"kind": random.choice(WORDS), "size": random.randrange(100)}),
    Kind.BYTES: lambda _, random: f"\\x{random.randbytes(8).hex()}",
}


def _vary(example: Any, random: Random) -> Any:
    """Something like the example that fits where it does: other digits in its texts, numbers up to its."""
    if isinstance(example, dict):
        return {name: _vary(value, random) for name, value in example.items()}
    if isinstance(example, list):
        return [_vary(value, random) for value in example]
    if isinstance(example, bool):
        return random.random() < 0.5
    if isinstance(example, int):
        return random.randrange(abs(example) + 1)
    if isinstance(example, float):
        return round(random.uniform(0, abs(example)), 2)
    return re.sub(r"\d", lambda _: str(random.randrange(10)), str(example))
