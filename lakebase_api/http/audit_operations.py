"""The operations that tell what was done: those of lists, of a table that is the service's own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lakebase_api.access.rights import Duty
from lakebase_api.http.fields import build_form_fields, build_stream_fields
from lakebase_api.http.filters import build_filter_fields
from lakebase_api.http.operation import Operation
from lakebase_api.http.schemas import build_query
from lakebase_api.sql.audit_table import AuditAction
from lakebase_api.sql.own_tables import AUDIT_TABLE
from lakebase_api.table.declaration import Column, Filter, Table, Writes
from lakebase_api.table.types import find_type

NEWEST_FIRST = """List what was done, the newest first.

What has no history: exports, refusals, keys made and revoked, and starts of the service with their settings.
Otherwise as `/audit/stream`.
"""
# Those of a table that are of use here, by the path.
SERVED = ("/count", "/{key}", "/pages", "/stream", "/export")


def declare_audit(schema: str) -> Table:
    """The table as one that is declared."""
    return Table(
        name=AUDIT_TABLE.name,
        one="audit_event",
        schema=schema,
        source=AUDIT_TABLE.name,
        columns=tuple(_list_columns()),
        key_names=("id",),
        writes=Writes.OFF,
    )


def list_audit_operations(table: Table, operations: Sequence[Operation]) -> list[Operation]:
    """Those of the table that are served, for which the duty is needed in the place of a right on a table."""
    served = [replace(each, needs=Duty.AUDIT) for each in operations if each.path in SERVED]
    [stream] = [each for each in served if each.path == "/stream"]
    newest = replace(
        stream,
        path="",
        name="list_audit",
        text=NEWEST_FIRST,
        query=lambda: build_query(
            build_filter_fields(table) | build_form_fields(table) | build_stream_fields(table, "-id")
        ),
    )
    return [newest, *served]


def _list_columns() -> Iterator[Column]:
    text, whole = find_type("text"), find_type("bigint")
    chosen = (Filter.ANY,)
    yield Column("id", whole, example=4711)
    yield Column(
        "at",
        find_type("timestamptz"),
        filters=(Filter.RANGE,),
        description="When it was done.",
        example="2026-11-22T10:00:00.123456Z",
    )
    yield Column(
        "subject", text, filters=chosen, description="Who did it, as rights know them.", example="key:billing"
    )
    yield Column("label", text, may_be_null=True, description="What people call them.", example="billing")
    yield Column(
        "method",
        text,
        may_be_null=True,
        description="How it was established who they are; `null` of a caller who is not known.",
        example="api-key",
    )
    yield Column(
        "action",
        text,
        filters=chosen,
        values=tuple(AuditAction),
        description="What was done. `dropped` are refusals that there was no room for: `rows` of them.",
        example=AuditAction.EXPORT,
    )
    yield Column(
        "table_name", text, may_be_null=True, filters=chosen, description="To what.", example="orders"
    )
    yield Column("request_id", text, may_be_null=True, filters=chosen, description="Of which request.")
    yield Column("status", whole, may_be_null=True, filters=chosen, description="Of the answer.", example=200)
    yield Column("rows", whole, may_be_null=True, description="How many were sent.", example=15000)
    yield Column(
        "detail",
        find_type("jsonb"),
        may_be_null=True,
        is_sortable=False,
        description="More of it: never a body, a token or a value of a row. Of an export the names of its "
        "filters, and a digest that is the same for the same values.",
    )
