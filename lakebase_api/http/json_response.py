"""Answers in JSON, all written by one encoder."""

from decimal import Decimal
from typing import Any

from flask import Response
from msgspec.json import Encoder

JSON = "application/json"
# The greatest integer that every reader of JSON holds: JavaScript has doubles alone.
# https://www.rfc-editor.org/rfc/rfc8259#section-6
GREATEST_EXACT = 2**53 - 1

# A decimal is a number with the digits it has, never through a binary float.
ENCODER = Encoder(decimal_format="number")


def answer_json(body: object, status: int = 200, *, content_type: str = JSON) -> Response:
    """A response with the body as JSON: dicts, lists, msgspec structs, text, numbers, dates, decimals."""
    return Response(ENCODER.encode(body), status=status, content_type=content_type)


def spell_great(value: Any) -> Any:
    """The value; of a number that a double may not hold, its digits."""
    if isinstance(value, int | Decimal) and not -GREATEST_EXACT <= value <= GREATEST_EXACT:
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    return value
