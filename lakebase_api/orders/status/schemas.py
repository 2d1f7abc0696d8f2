"""What changes of status take in, and the documents they give out."""

from typing import Any

from marshmallow import Schema, fields, validate

from lakebase_api.orders.order import STATUSES
from lakebase_api.web.answers import GREATEST_EXACT
from lakebase_api.web.paging import GREATEST_KEY, INTEGER, LEAST_KEY, QueryInteger, page_size_field
from lakebase_api.web.validation import GREATEST_LIST

GREATEST_BATCH = GREATEST_LIST


class KeyInteger(fields.Integer):
    """A JSON integer, which `1.0` is too, or the text of one that JavaScript would round; `true` is none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and INTEGER.fullmatch(value) and abs(int(value)) > GREATEST_EXACT:
            return int(value)
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


def _order_key(**options: Any) -> KeyInteger:
    return KeyInteger(required=True, metadata={"format": "int64", "example": 1}, **options)


def _status(description: str) -> fields.String:
    return fields.String(
        required=True,
        validate=validate.OneOf(STATUSES, error="Must be one of: {choices}."),
        metadata={"description": description, "example": "F"},
    )


class StatusUpdateSchema(Schema):
    o_orderstatus = _status("The new status: `F` fulfilled, `O` open, `P` in progress.")


class BatchItemSchema(Schema):
    o_orderkey = _order_key(
        validate=validate.Range(LEAST_KEY, GREATEST_KEY, error="Must be between {min} and {max}.")
    )
    o_orderstatus = _status("The new status.")
    if_match = fields.String(
        validate=validate.Regexp(r"^[!#-~]*$", error="Must be an ETag, without its quotes."),
        metadata={"description": "Change the order only if this is its `ETag`, without quotes. `*` is any."},
    )


class BatchQuerySchema(Schema):
    atomic = fields.Boolean(
        load_default=True,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={
            "description": "Whether none is changed when one cannot be; `false` changes those that can."
        },
    )


class StatusSchema(Schema):
    o_orderkey = _order_key()
    o_orderstatus = fields.String(required=True, metadata={"example": "F"})
    message = fields.String(required=True, metadata={"example": "Order status updated successfully"})


class BatchResultSchema(Schema):
    o_orderkey = _order_key()
    o_orderstatus = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The status the order has now.", "example": "F"},
    )
    etag = fields.String(required=True, allow_none=True, metadata={"description": "The ETag it has now."})
    status = fields.Integer(
        required=True, metadata={"description": "What a change of this order alone answers.", "example": 200}
    )
    type = fields.String(
        metadata={"description": "The kind of problem.", "example": "/problems/order-not-found"}
    )
    detail = fields.String(metadata={"description": "Why it was refused.", "example": "There is no order 9."})


class BatchSchema(Schema):
    changed = fields.Integer(required=True, metadata={"example": 1})
    unchanged = fields.Integer(required=True, metadata={"example": 0})
    refused = fields.Integer(required=True, metadata={"example": 0})
    results = fields.List(fields.Nested(BatchResultSchema), required=True)


class HistoryQuerySchema(Schema):
    cursor = QueryInteger(
        # Not told, as no cursor's is: a generated client would send it, and one in JavaScript rounded up.
        load_default=lambda: GREATEST_KEY,
        validate=validate.Range(1, GREATEST_KEY, error="Must be between {min} and {max}."),
        metadata={
            "description": "Version to start before: the `next_cursor` of an earlier answer.",
            "format": "int64",
        },
    )
    page_size = page_size_field()


class ChangeSchema(Schema):
    version = fields.Integer(
        required=True,
        metadata={"description": "Counted from 1 for each order.", "format": "int64", "example": 1},
    )
    old_status = fields.String(required=True, allow_none=True, metadata={"example": "O"})
    new_status = fields.String(required=True, allow_none=True, metadata={"example": "F"})
    synced_status = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What the orders table had; `null` where it is changed itself.",
            "example": "O",
        },
    )
    is_withdrawal = fields.Boolean(required=True, metadata={"example": False})
    changed_at = fields.DateTime(required=True, metadata={"example": "2026-11-22T10:00:00.123456Z"})
    changed_by = fields.String(required=True, metadata={"example": "anonymous"})
    request_id = fields.String(required=True)


class HistoryPaginationSchema(Schema):
    page_size = fields.Integer(required=True, metadata={"example": 100})
    has_next = fields.Boolean(required=True)
    next_cursor = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Cursor of the older changes.", "format": "int64", "example": None},
    )


class HistorySchema(Schema):
    o_orderkey = _order_key()
    o_orderstatus = fields.String(
        required=True, allow_none=True, metadata={"description": "As it is shown.", "example": "F"}
    )
    synced_status = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As the orders table has it.", "example": "O"},
    )
    status_conflict = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether the orders table has come to say something that is neither what the "
            "status was changed from nor what it was changed to. The change stays until it is withdrawn."
        },
    )
    changes = fields.List(fields.Nested(ChangeSchema), required=True)
    pagination = fields.Nested(HistoryPaginationSchema, required=True)
