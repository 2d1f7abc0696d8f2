"""Reads dates and times as answers show them: of all of PostgreSQL's years, and what is infinite.

Python knows the years from 1 to 9999 alone.
https://www.postgresql.org/docs/current/datatype-datetime.html
"""

import datetime
import re

from lakebase_api.table.types import Kind

INFINITE = ("infinity", "-infinity")
DAY = r"(?P<year>[0-9]{4,7})-(?P<day>[0-9]{2}-[0-9]{2})"
HOUR = r"[T ](?P<hour>[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?)"
# Z, or as JSON and CSV show it, in which seconds are of zones before there were zones.
ZONE = r"(?P<zone>[Zz]|[+-](0[0-9]|1[0-5])(:[0-5][0-9]){0,2})"
ERA = r"(?P<era> BC)?"
FORMS = {
    Kind.DATE: re.compile(f"{DAY}{ERA}"),
    Kind.TIMESTAMP: re.compile(f"{DAY}{HOUR}{ERA}"),
    Kind.TIMESTAMPTZ: re.compile(f"{DAY}{HOUR}{ZONE}{ERA}"),
}
MESSAGES = {
    Kind.DATE: "Must be a date such as 1996-01-02.",
    Kind.TIMESTAMP: "Must be a time such as 2026-01-02T13:45:00, without a zone.",
    Kind.TIMESTAMPTZ: "Must be a time such as 2026-01-02T13:45:00Z, with a zone.",
}
# In a query a plus sign that nobody encodes is a blank.
PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}(:[0-9]{2}){0,2}( BC)?$)")
# The calendar repeats itself after so many years. This one is a leap year, as the first of them.
CYCLE, CYCLE_START = 400, 2000
MAX_YEARS = {Kind.DATE: 5874897, Kind.TIMESTAMP: 294276, Kind.TIMESTAMPTZ: 294276}
# The first one is not whole.
FIRST_YEAR_BC, FIRST_DAY = 4714, "11-24"
UTC = re.compile(r"[Zz]|[+-]00(:00){0,2}")


def parse_time(kind: Kind, text: str) -> str:
    """A date or a time with a date, in one form of all that mean the same, as far as Python knows its year.

    Raises ``ValueError`` with a message for the caller.
    """
    if text in INFINITE:
        return text
    found = FORMS[kind].fullmatch(PLUS.sub("+", text) if kind is Kind.TIMESTAMPTZ else text)
    if not found or not _is_in_calendar(kind, found.groupdict()):
        raise ValueError(MESSAGES[kind])
    parts = found.groupdict()
    local = f"{parts['year']}-{parts['day']}" + (f"T{parts['hour']}" if "hour" in parts else "")
    if kind is Kind.TIMESTAMPTZ and not parts["era"]:
        return _shift_to_utc(local, parts["zone"] or "")
    return f"{local}{parts.get('zone', '')}{parts['era'] or ''}"


def _shift_to_utc(local: str, zone: str) -> str:
    try:
        return datetime.datetime.fromisoformat(f"{local}{zone.upper()}").astimezone(datetime.UTC).isoformat()
    except (ValueError, OverflowError):
        return f"{local}{zone}"


def _is_in_calendar(kind: Kind, parts: dict[str, str | None]) -> bool:
    year, day, is_bc = int(parts["year"] or 0), parts["day"] or "", bool(parts["era"])
    greatest = FIRST_YEAR_BC if is_bc else MAX_YEARS[kind]
    if not 1 <= year <= greatest or (is_bc and year == greatest and day < FIRST_DAY):
        return False
    # Of another zone it may be beyond the first moment or the last.
    if year == greatest and not UTC.fullmatch(parts.get("zone") or "Z"):
        return False
    astronomical = 1 - year if is_bc else year
    try:
        datetime.date.fromisoformat(f"{CYCLE_START + astronomical % CYCLE}-{day}")
        datetime.time.fromisoformat(parts.get("hour") or "00:00:00")
    except ValueError:
        return False
    return True
