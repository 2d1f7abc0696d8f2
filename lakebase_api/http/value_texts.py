"""A value as JSON has it, from the text that PostgreSQL writes."""

from typing import Any

import msgspec

from lakebase_api.table.declaration import Column
from lakebase_api.table.types import Kind

NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
# What `row_to_json` writes in their place.
INFINITIES = ("infinity", "-infinity")


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
    """A time as RFC 3339 and ``row_to_json`` have it: ``2026-01-02T03:04:05.123+00:00``."""
    if text in INFINITIES:
        return text
    stem, era = (text[:-3], " BC") if text.endswith(" BC") else (text, "")
    zone = ":00" if stem.endswith("+00") else ""
    return f"{stem.replace(' ', 'T', 1)}{zone}{era}"


def _render_number(text: str) -> Any:
    """With the very digits, never through a binary float or an exponent of Python's."""
    return text if text in NO_NUMBERS else msgspec.Raw(text.encode())
