"""Usage as JSON and CSV have it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask import Response
from marshmallow import Schema, fields

from lakebase_api.http.csv_ndjson import CSV_CONTENT_TYPE, write_csv
from lakebase_api.http.json_response import answer_json
from lakebase_api.sql.usage_table import HOUR, By, Grouping, Total
from lakebase_api.telemetry.usage_report import UsageReport

GROUPS: Mapping[By, tuple[str, ...]] = {
    By.CALLER: ("caller",),
    By.ROUTE: ("method", "route", "table"),
    By.TABLE: ("table",),
}
FIGURES = ("requests", "errors", "rows", "bytes", "mean_seconds", "cost")


class UsageRowSchema(Schema):
    """What was had of a group: it has the fields of what usage is told by."""

    hour = fields.String(metadata={"format": "date-time", "description": "With `per=hour`: its start."})
    caller = fields.String(metadata={"example": "key:billing"})
    method = fields.String(metadata={"example": "GET"})
    route = fields.String(
        metadata={"description": "As in this document; empty of paths not in it.", "example": "/orders/pages"}
    )
    table = fields.String(allow_none=True, metadata={"example": "orders"})
    requests = fields.Integer(required=True, metadata={"example": 1204})
    errors = fields.Integer(required=True, metadata={"example": 3})
    rows = fields.Integer(required=True, metadata={"example": 120400})
    bytes = fields.Integer(required=True, metadata={"example": 24512331})
    mean_seconds = fields.Float(required=True, metadata={"example": 0.004211})
    cost = fields.Float(required=True, metadata={"example": 2408.0})


class UsageSchema(Schema):
    by = fields.String(required=True, metadata={"enum": list(By), "example": By.CALLER})
    start = fields.String(data_key="from", required=True, metadata={"format": "date-time"})
    end = fields.String(data_key="to", required=True, metadata={"format": "date-time"})
    kept = fields.String(required=True, metadata={"enum": ["database", "memory"], "example": "database"})
    is_complete = fields.Boolean(required=True)
    usage = fields.List(fields.Nested(UsageRowSchema), required=True)


def answer_usage_json(grouping: Grouping, report: UsageReport) -> Response:
    """The report, and what it is of."""
    names = _name_fields(grouping)
    return answer_json(
        {
            "by": grouping.by,
            "from": _show_hour(grouping.start),
            "to": _show_hour(grouping.end),
            "kept": "database" if report.is_written else "memory",
            "is_complete": report.is_complete,
            "usage": [dict(zip(names, row, strict=True)) for row in _list_rows(grouping, report)],
        }
    )


def answer_usage_csv(grouping: Grouping, report: UsageReport) -> Response:
    """The figures of the report."""
    # Names of callers may come from outside, and this is for spreadsheets.
    table = write_csv(_name_fields(grouping), _list_rows(grouping, report), disarmed=GROUPS[grouping.by])
    return Response(table, content_type=CSV_CONTENT_TYPE)


def _name_fields(grouping: Grouping) -> Sequence[str]:
    return (*(("hour",) if grouping.per_hour else ()), *GROUPS[grouping.by], *FIGURES)


def _list_rows(grouping: Grouping, report: UsageReport) -> Iterator[tuple[object, ...]]:
    def rank(item: tuple[tuple[Any, ...], Total]) -> tuple[Any, ...]:
        group, total = item
        hour = group[0] if grouping.per_hour else 0
        return (hour, -total.requests, *(part or "" for part in group))

    for group, total in sorted(report.totals.items(), key=rank):
        shown = (_show_hour(group[0]), *group[1:]) if grouping.per_hour else group
        yield (
            *shown,
            total.requests,
            total.errors,
            total.rows,
            total.bytes,
            _round(total.seconds / max(1, total.requests), 6),
            _round(total.cost, 2),
        )


def _show_hour(hour: Any) -> str:
    return datetime.fromtimestamp(hour * HOUR, UTC).isoformat().replace("+00:00", "Z")


def _round(number: float, digits: int) -> Decimal:
    return Decimal(f"{number:.{digits}f}")
