"""Answers in JSON, all written by one encoder."""

from flask import Response
from msgspec.json import Encoder

JSON = "application/json"

# A decimal is a number with the digits it has, never through a binary float.
ENCODER = Encoder(decimal_format="number")


def answer_json(body: object, status: int = 200, *, content_type: str = JSON) -> Response:
    """A response with the body as JSON: dicts, lists, msgspec structs, text, numbers, dates, decimals."""
    return Response(ENCODER.encode(body), status=status, content_type=content_type)
