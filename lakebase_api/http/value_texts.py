"""A value as JSON has it, from the text that PostgreSQL writes."""

from typing import Any

import msgspec

from lakebase_api.table.declaration import Column
from lakebase_api.table.types import Kind

NO_NUMBERS = ("NaN", "Infinity", "-Infinity")


def render_text(column: Column, text: str | None) -> Any:
    """What lists show of the value."""
    kind = column.type.kind
    if text is None or column.is_text_in_json:
        return text
    if kind is Kind.INTEGER:
        return int(text)
    if kind in (Kind.NUMERIC, Kind.FLOAT):
        return _render_number(text)
    if kind is Kind.BOOLEAN:
        return text == "true"
    return render_time(text) if kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ) else text


def render_time(text: str) -> str:
    """A timestamp as RFC 3339 has it: ``2026-01-02T03:04:05.123Z``, without the Z if it has no zone.

    What has no year of four digits is as PostgreSQL writes it, but for that: ``infinity``.
    """
    # The sessions' zone is UTC, so that every offset is +00.
    day, blank, rest = text.partition(" ")
    return f"{day}T{rest.replace('+00', 'Z')}" if blank else text


def _render_number(text: str) -> Any:
    """With the very digits, never through a binary float or an exponent of Python's."""
    return text if text in NO_NUMBERS else msgspec.Raw(text.encode())
