"""What an export takes in."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from lakebase_api.orders.lists.schemas import FilterSchema, FormSchema
from lakebase_api.orders.order import KEY
from lakebase_api.web.paging import GREATEST_KEY, LEAST_KEY, QueryInteger
from lakebase_api.web.tables import CSV, NDJSON

FORMATS = {"csv": CSV, "ndjson": NDJSON}


class ExportQuerySchema(FilterSchema, FormSchema):
    form = fields.String(
        data_key="format",
        validate=validate.OneOf(FORMATS, error="Must be one of: {choices}."),
        metadata={"description": "If absent, what `Accept` prefers, and `csv` without it.", "example": "csv"},
    )
    cursor = QueryInteger(
        validate=validate.Range(LEAST_KEY, GREATEST_KEY, error="Must be between {min} and {max}."),
        metadata={
            "description": "The key to start after: that of the last whole row there is, to go on. The "
            "first order is the first if absent.",
            "format": "int64",
            "example": 388,
        },
    )
    header = fields.Boolean(
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={
            "description": "In CSV, whether the first line has the names of the fields. If absent it does "
            "without `cursor`."
        },
    )

    trailer = fields.Boolean(
        load_default=True,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={
            "description": "In NDJSON, whether a last line says where to go on. Without it every line is an "
            "order, and one goes on as in CSV."
        },
    )

    @validates_schema
    def check_fields(self, query: Mapping[str, Any], **_: object) -> None:
        """That the rows say where to go on."""
        if KEY not in query.get("shown", (KEY,)):
            raise ValidationError(f"Must have {KEY}: an export that was cut goes on from it.", "fields")
