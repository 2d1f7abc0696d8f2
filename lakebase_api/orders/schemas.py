"""What the orders resource takes in, and the documents it gives out."""

from marshmallow import Schema, fields

from lakebase_api.orders.counting import Accuracy
from lakebase_api.orders.lists.schemas import FilterSchema
from lakebase_api.web.links import LinksSchema
from lakebase_api.web.paging import PagesPaginationSchema, StreamPaginationSchema


class OrderSchema(Schema):
    """All of its fields, or those that `fields` asks for."""

    o_orderkey = fields.Integer(metadata={"format": "int64", "example": 1})
    o_custkey = fields.Integer(allow_none=True, metadata={"format": "int64", "example": 36901})
    o_orderstatus = fields.String(allow_none=True, metadata={"example": "O"})
    o_totalprice = fields.Float(
        allow_none=True,
        metadata={
            "description": "Written with the digits the database holds; what is no number of JSON is the "
            "text `NaN`, `Infinity` or `-Infinity`.",
            "type": ["number", "string"],
            "example": 173665.47,
        },
    )
    o_orderdate = fields.Date(
        allow_none=True,
        metadata={
            "description": "What no calendar of four-digit years has is as PostgreSQL writes it: `infinity`, "
            "`-infinity`, `10000-01-01`, `0044-03-15 BC`.",
            "example": "1996-01-02",
        },
    )
    o_orderpriority = fields.String(allow_none=True, metadata={"example": "5-LOW"})
    o_clerk = fields.String(allow_none=True, metadata={"example": "Clerk#000000951"})
    o_shippriority = fields.Integer(allow_none=True, metadata={"example": 0})
    o_comment = fields.String(allow_none=True, metadata={"example": "nstructions sleep furiously among "})


class CountQuerySchema(FilterSchema):
    accuracy = fields.Enum(
        Accuracy,
        by_value=fields.String,
        metadata={"description": "`exact` waits for an exact count, `estimated` never counts."},
    )


class CountSchema(Schema):
    total_orders = fields.Integer(required=True, metadata={"example": 1500000})
    accuracy = fields.String(required=True, metadata={"enum": list(Accuracy), "example": "exact"})
    as_of = fields.DateTime(
        required=True,
        metadata={"description": "When it was counted.", "example": "2026-11-22T10:00:00.123456+00:00"},
    )


class SampleSchema(Schema):
    sample_order_keys = fields.List(
        fields.Integer(metadata={"format": "int64"}),
        required=True,
        metadata={"example": [1827, 96451, 232067, 380130, 511106]},
    )


class StreamSchema(Schema):
    orders = fields.List(fields.Nested(OrderSchema), required=True)
    pagination = fields.Nested(StreamPaginationSchema, required=True)
    links = fields.Nested(LinksSchema, required=True)


class PagesSchema(Schema):
    orders = fields.List(fields.Nested(OrderSchema), required=True)
    pagination = fields.Nested(PagesPaginationSchema, required=True)
    links = fields.Nested(LinksSchema, required=True)


class KeysSchema(Schema):
    orders = fields.List(fields.Nested(OrderSchema), required=True)
    missing = fields.List(
        fields.Integer(metadata={"type": ["integer", "string"]}),
        required=True,
        metadata={"description": "Keys of which there is no order.", "example": [8]},
    )
