"""What every list shares: its query parameters, and the part of its answer that says where the page is."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

# The largest PostgreSQL bigint.
GREATEST_KEY = 2**63 - 1
# The largest integer every JSON reader holds; times the largest page it stays a bigint.
GREATEST_PAGE = 2**53 - 1
GREATEST_PAGE_SIZE = 1000

# int() reads 4,300 digits at the most; no URL that gunicorn takes has more.
INTEGER = re.compile(r"-?[0-9]{1,4300}")


class QueryInteger(fields.Integer):
    """An integer of a query string, written in plain digits."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not isinstance(value, str) or not INTEGER.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return int(value)


def page_size_field() -> QueryInteger:
    """How many to give at most."""
    return QueryInteger(
        load_default=100,
        validate=validate.Range(1, GREATEST_PAGE_SIZE, error="Must be between {min} and {max}."),
        metadata={"description": "How many to give at most."},
    )


class PagesQuerySchema(Schema):
    page = QueryInteger(
        load_default=1,
        validate=validate.Range(1, GREATEST_PAGE, error="Must be between {min} and {max}."),
        metadata={"description": "Number of the page, counted from 1."},
    )
    page_size = page_size_field()
    include_count = fields.Boolean(
        load_default=True,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={"description": "Whether to count all orders; `false` is faster on large tables."},
    )


class StreamQuerySchema(Schema):
    cursor = QueryInteger(
        load_default=0,
        validate=validate.Range(0, GREATEST_KEY, error="Must be between {min} and {max}."),
        metadata={"description": "Key to start after: `0`, or a cursor of an earlier answer."},
    )
    page_size = page_size_field()


class StreamPaginationSchema(Schema):
    page_size = fields.Integer(required=True, metadata={"example": 100})
    has_next = fields.Boolean(required=True)
    has_previous = fields.Boolean(required=True)
    next_cursor = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Cursor of the page after this one.", "format": "int64", "example": 388},
    )
    previous_cursor = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Cursor of the page before this one.", "format": "int64", "example": None},
    )


class PagesPaginationSchema(StreamPaginationSchema):
    page = fields.Integer(required=True, metadata={"example": 1})
    total_pages = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "`null` without `include_count`.", "example": 15000},
    )
    total_count = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "`null` without `include_count`.", "example": 1500000},
    )
    total_accuracy = fields.String(
        metadata={
            "description": "There when `total_count` is an estimate, because counting takes long.",
            "enum": ["estimated"],
        }
    )
