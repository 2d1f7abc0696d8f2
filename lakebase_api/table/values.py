"""Reads values from the text of a path or a query, as the type of a column has them."""

import datetime
import re
import uuid
from collections.abc import Callable

from lakebase_api.table.times import FORMS, parse_time
from lakebase_api.table.types import Kind, Type

# What a PostgreSQL bigint holds.
MIN_BIGINT, MAX_BIGINT = -(2**63), 2**63 - 1
MAX_TEXT = 100
# The longest key that an index takes is of some 2,700 bytes.
MAX_KEY_TEXT = 500
# The end of a day, which Python has not.
MIDNIGHT = "24:00:00"

# int() reads 4,300 digits at the most; no URL that gunicorn takes has more.
INTEGER = re.compile(r"-?[0-9]{1,4300}")
NUMBER = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,4})?")
FLOAT = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?")
CONTROL = re.compile(r"[\x00-\x1f]")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")
# https://www.rfc-editor.org/rfc/rfc3339#section-5.6
OFFSET = re.compile(r"(?P<local>.*)(?P<offset>Z|z|[+-][0-9]{2}:[0-9]{2})")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Value = int | str | bool


def parse_value(kind: Type, text: str, *, max_length: int = MAX_TEXT) -> Value:
    """The value as a parameter of a statement, in one form of all that mean the same.

    Raises ``ValueError`` with a message for the caller.
    """
    if kind.kind is Kind.TEXT or kind.kind is Kind.ENUM:
        return _parse_text(text, max_length)
    return PARSERS[kind.kind](text)


def parse_shown(kind: Type, text: str) -> Value:
    """As ``parse_value``, of all that answers show of keys and times: also years that are in no calendar.

    Filters take fewer, for what is asked by mistake is told.
    """
    if kind.kind in FORMS:
        return parse_time(kind.kind, text)
    if kind.kind is Kind.TIME and text == MIDNIGHT:
        return text
    return parse_value(kind, text, max_length=MAX_KEY_TEXT)


def parse_integer(text: str) -> int:
    """A whole number that a bigint holds. Raises ``ValueError``."""
    if not INTEGER.fullmatch(text):
        raise ValueError("Not a valid integer.")
    if not MIN_BIGINT <= (value := int(text)) <= MAX_BIGINT:
        raise ValueError(f"Must be between {MIN_BIGINT} and {MAX_BIGINT}.")
    return value


def _parse_text(text: str, max_length: int) -> str:
    if not 1 <= len(text) <= max_length:
        raise ValueError(f"Must have 1 to {max_length} characters.")
    if CONTROL.search(text):
        raise ValueError("Must not have control characters.")
    return text


def _parse_number(text: str) -> str:
    if not NUMBER.fullmatch(text):
        raise ValueError("Must be a number such as 173665.47, with 16 digits at most.")
    return text


def _parse_float(text: str) -> str:
    if not FLOAT.fullmatch(text):
        raise ValueError("Must be a number such as 1.5 or 2e10.")
    return text


def _parse_boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("Must be true or false.")
    return text == "true"


def _parse_uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise ValueError("Must be a UUID such as 123e4567-e89b-12d3-a456-426614174000.")
    return str(uuid.UUID(text))


def _parse_date(text: str) -> str:
    return _check_calendar(DATE, datetime.date, text, "Must be a date such as 1996-01-02.")


def _parse_time(text: str) -> str:
    return _check_calendar(TIME, datetime.time, text, "Must be a time such as 13:45:00.")


def _parse_timestamp(text: str) -> str:
    message = "Must be a time such as 2026-01-02T13:45:00, without a zone."
    day, _, hour = text.replace(" ", "T", 1).partition("T")
    checked = (
        _check_calendar(DATE, datetime.date, day, message),
        _check_calendar(TIME, datetime.time, hour, message),
    )
    return "T".join(checked)


def _parse_timestamptz(text: str) -> str:
    message = "Must be a time such as 2026-01-02T13:45:00Z, with a zone."
    # In a query a plus sign that is not encoded is a blank.
    found = OFFSET.fullmatch(re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", text))
    if not found:
        raise ValueError(message)
    try:
        local = _parse_timestamp(found["local"])
        offset = found["offset"].upper()
        at = datetime.datetime.fromisoformat(local + offset)
        return at.astimezone(datetime.UTC).isoformat()
    except (ValueError, OverflowError):
        raise ValueError(message) from None


def _check_calendar(
    form: re.Pattern[str], kind: type[datetime.date] | type[datetime.time], text: str, message: str
) -> str:
    if not form.fullmatch(text):
        raise ValueError(message)
    try:
        kind.fromisoformat(text)
    except ValueError:
        raise ValueError(message) from None
    return text


PARSERS: dict[Kind, Callable[[str], Value]] = {
    Kind.INTEGER: parse_integer,
    Kind.NUMERIC: _parse_number,
    Kind.FLOAT: _parse_float,
    Kind.BOOLEAN: _parse_boolean,
    Kind.UUID: _parse_uuid,
    Kind.DATE: _parse_date,
    Kind.TIME: _parse_time,
    Kind.TIMESTAMP: _parse_timestamp,
    Kind.TIMESTAMPTZ: _parse_timestamptz,
}
