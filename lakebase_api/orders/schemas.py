"""What the orders resource takes in, and the documents it gives out."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from lakebase_api.orders.order_key import INTEGER
from lakebase_api.orders.queries import GREATEST_KEY

# The largest integer every JSON reader holds; times the largest page it stays a PostgreSQL bigint.
GREATEST_PAGE = 2**53 - 1
GREATEST_PAGE_SIZE = 1000
STATUSES = ("F", "O", "P")


class QueryInteger(fields.Integer):
    """An integer of a query string, written in plain digits."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not isinstance(value, str) or not INTEGER.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return int(value)


def _page_size() -> QueryInteger:
    return QueryInteger(
        load_default=100,
        validate=validate.Range(1, GREATEST_PAGE_SIZE, error="Must be between {min} and {max}."),
        metadata={"description": "How many orders to give at most."},
    )


class PagesQuerySchema(Schema):
    page = QueryInteger(
        load_default=1,
        validate=validate.Range(1, GREATEST_PAGE, error="Must be between {min} and {max}."),
        metadata={"description": "Number of the page, counted from 1."},
    )
    page_size = _page_size()
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
    page_size = _page_size()


class StatusUpdateSchema(Schema):
    o_orderstatus = fields.String(
        required=True,
        validate=validate.OneOf(STATUSES, error="Must be one of: {choices}."),
        metadata={"description": "The new status: `F` fulfilled, `O` open, `P` in progress.", "example": "F"},
    )


class OrderSchema(Schema):
    o_orderkey = fields.Integer(required=True, metadata={"format": "int64", "example": 1})
    o_custkey = fields.Integer(required=True, allow_none=True, metadata={"format": "int64", "example": 36901})
    o_orderstatus = fields.String(required=True, allow_none=True, metadata={"example": "O"})
    o_totalprice = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Written with the digits the database holds.", "example": 173665.47},
    )
    o_orderdate = fields.Date(required=True, allow_none=True, metadata={"example": "1996-01-02"})
    o_orderpriority = fields.String(required=True, allow_none=True, metadata={"example": "5-LOW"})
    o_clerk = fields.String(required=True, allow_none=True, metadata={"example": "Clerk#000000951"})
    o_shippriority = fields.Integer(required=True, allow_none=True, metadata={"example": 0})
    o_comment = fields.String(
        required=True, allow_none=True, metadata={"example": "nstructions sleep furiously among "}
    )


class CountSchema(Schema):
    total_orders = fields.Integer(required=True, metadata={"example": 1500000})


class SampleSchema(Schema):
    sample_order_keys = fields.List(
        fields.Integer(metadata={"format": "int64"}),
        required=True,
        metadata={"example": [1827, 96451, 232067, 380130, 511106]},
    )


class StatusSchema(Schema):
    o_orderkey = fields.Integer(required=True, metadata={"format": "int64", "example": 1})
    o_orderstatus = fields.String(required=True, metadata={"example": "F"})
    message = fields.String(required=True, metadata={"example": "Order status updated successfully"})


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


class StreamSchema(Schema):
    orders = fields.List(fields.Nested(OrderSchema), required=True)
    pagination = fields.Nested(StreamPaginationSchema, required=True)


class PagesSchema(Schema):
    orders = fields.List(fields.Nested(OrderSchema), required=True)
    pagination = fields.Nested(PagesPaginationSchema, required=True)
