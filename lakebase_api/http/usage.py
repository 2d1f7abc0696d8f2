"""The operation that tells who called what, how often and how much."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Flask, Response
from marshmallow import Schema, fields, validate

from lakebase_api.access.rights import Duty, Rights
from lakebase_api.http.authorization import build_admit
from lakebase_api.http.csv_ndjson import CSV
from lakebase_api.http.filters import ValueField
from lakebase_api.http.json_response import JSON
from lakebase_api.http.negotiation import VARY, negotiate
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.resource import serve_operations
from lakebase_api.http.schemas import build_query
from lakebase_api.http.usage_answers import UsageSchema, answer_usage_csv, answer_usage_json
from lakebase_api.sql.usage_table import HOUR, By, Grouping
from lakebase_api.table.times import MESSAGES, parse_time
from lakebase_api.table.types import Kind
from lakebase_api.telemetry.usage_report import UsageReports

TEXT = """Say who called what, how often and how much.

By caller, by route or by table, the busiest first. It is told in whole hours: those that `from` and `to` are
in, and those between. `errors` are answers from 400 on, `bytes` those of bodies as they are before anything
compresses them. `mean_seconds` is the time of a request, of an export until its end; `cost` is what quotas
are charged. What takes no quota, such as probes and documentation, is not counted. Whoever is not known is
`anonymous`; callers that there are too many of are `(other)`.

It has what workers of this host have not written yet; of other hosts the last minute may be missing. `kept`
is `memory` where the service cannot write it: then there are the last 24 hours of this host, lost when it
stops. `is_complete` is false if a worker did not answer in time, and of more than 10,000 groups, of which the
busiest are told.
"""
HOURS = 24
FORMATS = {"json": JSON, "csv": CSV}
ONE_OF = "Must be one of: {choices}."


def register_usage(app: Flask, document: Document, rights: Rights, reports: UsageReports) -> None:
    """Serve ``/usage``."""

    def list_usage(query: dict[str, Any]) -> Response:
        grouping = _build_grouping(query)
        report = reports.build(grouping)
        current_exchange().rows = len(report.totals)
        media_type = FORMATS[query["format"]] if "format" in query else negotiate(JSON, CSV)
        answer = answer_usage_csv if media_type == CSV else answer_usage_json
        response = answer(grouping, report)
        response.headers.add(*VARY)
        response.headers.add("Cache-Control", "no-store")
        return response

    operation = Operation(
        "GET",
        "/usage",
        "list_usage",
        list_usage,
        TEXT,
        needs=Duty.AUDIT,
        query=_build_query_schema,
        answer=lambda: UsageSchema,
        media_types={CSV: {"schema": {"type": "string"}}},
    )
    usage = Blueprint("usage", __name__)
    serve_operations(usage, [operation], build_admit(rights))
    app.register_blueprint(usage)
    document.add_part(usage.name, "Who uses it, and how much.", [operation])


def _build_query_schema() -> Schema:
    return build_query(
        {
            "by": fields.Enum(
                By,
                by_value=fields.String,
                # Not told: a generated client would send it with each request.
                load_default=lambda: By.CALLER,
                metadata={"description": "What is told apart; callers if absent.", "example": By.CALLER},
            ),
            "start": _build_time_field("from", 0, "24 hours before `to`"),
            "end": _build_time_field("to", HOUR - 1, "the end of this hour"),
            "per": fields.String(
                validate=validate.OneOf(["hour"], error=ONE_OF),
                metadata={
                    "description": "`hour`: of each hour, the first one first.",
                    "example": "hour",
                },
            ),
            "format": fields.String(
                validate=validate.OneOf(FORMATS, error=ONE_OF),
                metadata={"description": "If absent, what `Accept` prefers.", "example": "json"},
            ),
        }
    )


def _build_time_field(name: str, seconds: int, absent: str) -> fields.Field[Any]:
    """A time as hours since 1970, after so many seconds are added."""
    return ValueField(
        _parse_hour(seconds),
        data_key=name,
        metadata={
            "type": "string",
            "format": "date-time",
            "description": f"A time with a zone; {absent} if absent.",
            "example": "2026-11-26T00:00:00Z" if seconds == 0 else "2026-11-27T00:00:00Z",
        },
    )


def _parse_hour(seconds: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            moment = datetime.fromisoformat(parse_time(Kind.TIMESTAMPTZ, text))
        except ValueError:
            raise ValueError(MESSAGES[Kind.TIMESTAMPTZ]) from None
        return int((moment.timestamp() + seconds) // HOUR)

    return parse


def _build_grouping(query: Mapping[str, Any]) -> Grouping:
    """What is asked for."""
    end = query.get("end", int(time.time() // HOUR) + 1)
    start = query.get("start", end - HOURS)
    return Grouping(query["by"], start, end, per_hour="per" in query)
