"""What the document says of how fresh a synced table is."""

from marshmallow import Schema, fields

TEXT = """Say how fresh the {rows} are.

They are a copy that Lakebase keeps in step with a table of the lakehouse. `as_of` is when the source
committed what is copied, `source_version` which commit that was, and `available_since` when it was here.
Old data is not stale if there is nothing newer: then `is_current` is `true`. It is `false` if there is, or
may be, something newer, and `null` if that is not known; `meaning` says why.

The workspace is asked at most once a minute. `checked_at` is when it last answered, and `problem` why nothing
is known since.
"""
# A version is one of Delta's, a number of 64 bits.
GREATEST_VERSION = 2**63 - 1
HEADERS = {
    "X-Data-As-Of": {
        "description": "When the source committed what is copied, as `as_of` of the freshness. Absent where "
        "it is not known.",
        "schema": {"type": "string", "format": "date-time"},
        "example": "2026-11-26T11:58:03Z",
    },
    "X-Data-Version": {
        "description": "The version of the source that is copied: what is answered is of this one, or of a "
        "later one. Absent where it is not known.",
        "schema": {"type": "integer", "format": "int64"},
        "example": 4711,
    },
}
MIN_VERSION = {
    "in": "header",
    "name": "X-Min-Data-Version",
    "description": "Answer only if the table has this version of its source, or a later one; else 503, and "
    "`Retry-After` says when it may have.",
    "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": GREATEST_VERSION},
}


class SyncSchema(Schema):
    """A sync that goes on, as far as the workspace says."""

    done = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "The part that is done, from 0 to 1.", "example": 0.4},
    )
    rows = fields.Integer(required=True, allow_none=True, metadata={"example": 600000})
    total_rows = fields.Integer(required=True, allow_none=True, metadata={"example": 1500000})
    seconds_left = fields.Float(required=True, allow_none=True, metadata={"example": 42})


class FreshnessSchema(Schema):
    as_of = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When the source committed what is copied."}
    )
    available_since = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When the sync that copied it ended."}
    )
    source_version = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The version of the source that is copied.", "example": 4711},
    )
    is_current = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether there is nothing newer; `null` if that is not known."},
    )
    meaning = fields.String(
        required=True,
        metadata={"example": "Nothing newer exists in the source, however old the data is."},
    )
    state = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As the workspace calls it.", "example": "ONLINE_NO_PENDING_UPDATE"},
    )
    sync = fields.Nested(SyncSchema, required=True, allow_none=True)
    checked_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When the workspace last answered."}
    )
    problem = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why nothing is known since then.", "example": None},
    )
