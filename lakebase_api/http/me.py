"""The operation that tells callers who the service takes them for."""

from collections.abc import Sequence

from flask import Blueprint, Flask, Response
from marshmallow import Schema, fields

from lakebase_api.access.caller import Method
from lakebase_api.access.rate_limit import Standing
from lakebase_api.access.rights import Audience, Rights
from lakebase_api.http.authorization import build_admit
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.resource import serve_operations
from lakebase_api.http.validation import refuse_query
from lakebase_api.table.declaration import Table

TEXT = """Say who you are to the service, and what you may do.

`subject` is what rights, limits and histories know you by; `label` is for people to read. `rights` has one
`<table>:<action>` for each thing that you may do, of the rows and columns that your roles let you see.
"""


class QuotaSchema(Schema):
    """What is left of how much a caller may ask for."""

    quota = fields.Integer(required=True, metadata={"example": 600})
    seconds = fields.Integer(required=True, metadata={"example": 60})
    left = fields.Integer(required=True, metadata={"example": 412})


class MeSchema(Schema):
    subject = fields.String(required=True, metadata={"example": "key:ann"})
    label = fields.String(required=True, metadata={"example": "ann"})
    method = fields.String(required=True, metadata={"enum": list(Method), "example": Method.API_KEY})
    roles = fields.List(fields.String(metadata={"example": "reader"}), required=True)
    rights = fields.List(fields.String(metadata={"example": "orders:read"}), required=True)
    quota = fields.Nested(QuotaSchema)


def register_me(app: Flask, document: Document, rights: Rights, tables: Sequence[Table]) -> None:
    """Serve ``/me``."""

    def get_me() -> Response:
        refuse_query()
        exchange = current_exchange()
        caller = exchange.caller
        response = answer_json(
            {
                "subject": caller.subject,
                "label": caller.label,
                "method": caller.method,
                "roles": sorted(caller.roles),
                "rights": rights.list_rights(caller, tables),
                **_describe_quota(exchange.standing),
            }
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    operation = Operation(
        "GET",
        "/me",
        "get_me",
        get_me,
        TEXT,
        needs=Audience.CALLERS,
        answer=lambda: MeSchema,
        problems=(422, 500, 503),
    )
    me = Blueprint("me", __name__)
    serve_operations(me, [operation], build_admit(rights))
    app.register_blueprint(me)
    document.add_part(me.name, "Who calls.", [operation])


def _describe_quota(standing: Standing | None) -> dict[str, dict[str, int]]:
    """What is left of the caller's quota, if there is one."""
    if standing is None:
        return {}
    policy = standing.policy
    return {"quota": {"quota": policy.quota, "seconds": policy.window, "left": standing.remaining}}
