"""The cursor of an export: the key of a row as a text, which whoever has nothing but the row can write.

Its parts are what JSON or CSV shows of the key's columns, joined by ``/``. In parts of a composite key that
are texts ``/`` and ``%`` are percent-encoded.
"""

import datetime
import re
from urllib.parse import unquote

from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind
from lakebase_api.table.values import parse_integer, parse_value

# The parts of a key as JSON has them, which PostgreSQL reads back as they were.
KeyTexts = tuple[str, ...]

INFINITE = ("infinity", "-infinity")
# All that PostgreSQL prints, in CSV and in JSON, with the zone that others may have.
DAY = r"(?P<year>[0-9]{4,7})-(?P<rest>[0-9]{2}-[0-9]{2})"
HOUR = r"(?P<hour>[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?)(Z|[+-](0[0-9]|1[0-5])(:[0-5][0-9]){0,2})"
DATE = re.compile(rf"{DAY}(?P<era> BC)?")
TIMESTAMP = re.compile(rf"{DAY}[T ]{HOUR}(?P<era> BC)?")
# In a query a plus sign that nobody encodes is a blank.
PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}(:[0-9]{2}){0,2}( BC)?$)")
# The calendar repeats itself after so many years. This one is a leap year, as the first of them.
CYCLE, CYCLE_START = 400, 2000
# https://www.postgresql.org/docs/current/datatype-datetime.html, without the first year, which is not whole.
MAX_YEARS = {Kind.DATE: 5874897, Kind.TIMESTAMPTZ: 294276}
FIRST_YEAR_BC, FIRST_DAY_BC = 4714, "11-24"


def spell_cursor(table: Table, key: KeyTexts) -> int | str:
    """The cursor of a key: a number where the key is one."""
    if table.has_integer_key:
        return int(key[0])
    parts = [_spell_part(column, text) for column, text in zip(table.key, key, strict=True)]
    if len(parts) == 1:
        return parts[0]
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def parse_cursor(table: Table, text: str) -> KeyTexts:
    """The key that a cursor is of. Raises ``ValueError`` with a message for the caller."""
    if len(table.key) == 1:
        return (_parse_part(table.key[0], text),)
    parts = text.split("/")
    if len(parts) != len(table.key):
        raise ValueError(f"Must be {', '.join(table.key_names)} joined by '/'.")
    return tuple(_parse_part(column, _decode(part)) for column, part in zip(table.key, parts, strict=True))


def _spell_part(column: Column, text: str) -> str:
    # A plus sign is a blank in a query if nobody encodes it.
    return text.replace("+00:00", "Z") if column.type.kind is Kind.TIMESTAMPTZ else text


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("Must be UTF-8 where it is percent-encoded.") from None


def _parse_part(column: Column, text: str) -> str:
    kind = column.type.kind
    if kind is Kind.INTEGER:
        return str(parse_integer(text))
    if kind is Kind.TEXT:
        if "\0" in text:
            raise ValueError("Must not have the character of code 0.")
        return text
    if kind is Kind.DATE:
        return _parse_time(DATE, kind, text, "Must be a date such as 1996-01-02.")
    if kind is Kind.TIMESTAMPTZ:
        return _parse_time(
            TIMESTAMP, kind, PLUS.sub("+", text), "Must be a time such as 2026-01-02T13:45:00Z, with a zone."
        )
    return str(parse_value(column.type, text))


def _parse_time(form: re.Pattern[str], kind: Kind, text: str, message: str) -> str:
    """A date or time of PostgreSQL's whole range, which is much longer than Python's."""
    if text in INFINITE:
        return text
    found = form.fullmatch(text)
    if not found or not _is_in_calendar(kind, found.groupdict()):
        raise ValueError(message)
    return text


def _is_in_calendar(kind: Kind, parts: dict[str, str | None]) -> bool:
    year, day = int(parts["year"] or 0), parts["rest"] or ""
    if not year or year > (FIRST_YEAR_BC if parts["era"] else MAX_YEARS[kind]):
        return False
    if parts["era"] and year == FIRST_YEAR_BC and day <= FIRST_DAY_BC:
        return day == FIRST_DAY_BC and kind is Kind.DATE
    astronomical = 1 - year if parts["era"] else year
    try:
        datetime.date.fromisoformat(f"{CYCLE_START + astronomical % CYCLE}-{day}")
        if hour := parts.get("hour"):
            datetime.time.fromisoformat(hour)
    except ValueError:
        return False
    return True
