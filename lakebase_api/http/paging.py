"""What every list shares: how its parameters are read, and the part of its answer that says where it is."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from lakebase_api.http.json_response import GREATEST_EXACT
from lakebase_api.table.values import MAX_BIGINT, MIN_BIGINT

LEAST_KEY, GREATEST_KEY = MIN_BIGINT, MAX_BIGINT
# Times the largest page it stays a bigint.
GREATEST_PAGE = GREATEST_EXACT
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


def _cursor(description: str, example: int | None) -> fields.Raw:
    return fields.Raw(
        required=True,
        metadata={
            "description": f"{description} A text in a list that is sorted, and beyond ±{GREATEST_EXACT}; "
            "`null` where there is none.",
            "type": ["integer", "string", "null"],
            "example": example,
        },
    )


GREAT_INTEGERS_MEANING = (
    f"`text`: whole numbers of rows above {GREATEST_EXACT}, or below its negative, are texts in JSON, since "
    "JavaScript would round them. In CSV they are as ever."
)


def great_integers_field() -> fields.String:
    """Whether to give whole numbers that doubles do not hold as texts."""
    return fields.String(
        validate=validate.OneOf(["number", "text"], error="Must be one of: {choices}."),
        metadata={"description": GREAT_INTEGERS_MEANING, "example": "number"},
    )


class StreamPaginationSchema(Schema):
    page_size = fields.Integer(required=True, metadata={"example": 100})
    has_next = fields.Boolean(required=True)
    has_previous = fields.Boolean(required=True)
    next_cursor = _cursor("Cursor of the page after this one.", 388)
    previous_cursor = _cursor("Cursor of the page before this one.", None)


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
