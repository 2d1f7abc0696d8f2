"""The operations of a declared table: all that is served of it."""

from collections.abc import Iterator
from typing import Any

from lakebase_api.access.rights import Action
from lakebase_api.http import read_texts as texts
from lakebase_api.http.change_operations import list_changes
from lakebase_api.http.changes import Changes
from lakebase_api.http.csv_ndjson import CSV, NDJSON
from lakebase_api.http.export_schemas import build_export_schema
from lakebase_api.http.export_texts import describe_export, describe_result, show_csv, show_ndjson
from lakebase_api.http.exports import ExportView
from lakebase_api.http.fields import GREAT_INTEGERS, describe_fields
from lakebase_api.http.links import describe_link_header
from lakebase_api.http.lists import ListViews
from lakebase_api.http.operation import ETAG, IF_NONE_MATCH, QUERY_PROBLEMS, Keeping, Operation
from lakebase_api.http.reads import Reads
from lakebase_api.http.rows import RowViews

AGE = {"Age": {"description": "Seconds since the count.", "schema": {"type": "integer"}}}
CACHE_STATUS = {
    "Cache-Status": {
        "description": "Whether the answer came from memory, as RFC 9211 has it: "
        "`lakebase-api; fwd=stale; fwd-status=304` if the database said that nothing had changed.",
        "schema": {"type": "string"},
    }
}
UNCHANGED = {304: {"description": "The list is as `If-None-Match` says."}}
TEXT = {"type": "string"}
# A generator takes the type of the answer from the first form that it knows. openapi-generator's clients do
# not read an export that is a text; openapi-python-client's, which do not know NDJSON, not CSV as a file.
FILE = {"type": "string", "format": "binary"}
ROWS = {CSV: {"schema": TEXT}, NDJSON: {"schema": TEXT}}


def list_operations(reads: Reads, changes: Changes, export: ExportView) -> list[Operation]:
    """The operations, in the order of the document."""
    return [*_list_rows(reads), *_list_lists(reads), *list_changes(changes), _describe_export(export)]


def _list_rows(reads: Reads) -> Iterator[Operation]:
    """Those that read single rows, and how many and which there are."""
    table, views = reads.table, RowViews(reads)
    yield Operation(
        "GET",
        "/count",
        f"count_{texts.name_rows(table)}",
        views.count,
        texts.write_text(texts.COUNT, table),
        needs=Action.READ,
        query=lambda: reads.queries.count,
        answer=lambda: reads.schemas.count,
        headers=AGE,
        may_lag=True,
    )
    yield Operation(
        "GET",
        "/sample",
        f"sample_{texts.name_rows(table)}",
        views.sample,
        texts.write_text(texts.SAMPLE, table),
        needs=Action.READ,
        query=lambda: reads.queries.sample,
        answer=lambda: reads.schemas.sample,
        may_lag=True,
    )
    unchanged = f"The {table.one.replace('_', ' ')} is as `If-None-Match` says."
    yield Operation(
        "GET",
        "/{key}",
        f"get_{table.one}",
        views.get,
        texts.write_text(texts.GET, table),
        needs=Action.READ,
        parameters=(IF_NONE_MATCH, describe_fields(table), GREAT_INTEGERS),
        answer=lambda: reads.schemas.row,
        headers=ETAG,
        others={304: {"description": unchanged}},
        problems=(400, 404, *QUERY_PROBLEMS),
        keeping=Keeping.UNSEEN,
    )


def _list_lists(reads: Reads) -> Iterator[Operation]:
    """Those that list rows: by keys, by page number, and by cursor."""
    table, views, rows = reads.table, ListViews(reads), texts.name_rows(reads.table)
    yield Operation(
        "GET",
        "",
        # A row and the table may be called the same.
        f"get_{rows}" if rows != table.one else f"get_several_{table.one}",
        views.get_several,
        texts.write_text(texts.SEVERAL, table),
        needs=Action.READ,
        query=lambda: reads.queries.keys,
        answer=lambda: reads.schemas.keys,
        media_types=ROWS,
        headers=CACHE_STATUS,
        keeping=Keeping.ALWAYS,
        may_lag=True,
    )
    shared: dict[str, Any] = {
        "parameters": (IF_NONE_MATCH,),
        "media_types": ROWS,
        "headers": ETAG | describe_link_header(table) | CACHE_STATUS,
        "others": UNCHANGED,
        "keeping": Keeping.ALWAYS,
        "may_lag": True,
    }
    yield Operation(
        "GET",
        "/pages",
        f"list_{table.one}_pages",
        views.list_pages,
        texts.write_text(texts.PAGES, table),
        needs=Action.READ,
        query=lambda: reads.queries.pages,
        answer=lambda: reads.schemas.pages,
        **shared,
    )
    yield Operation(
        "GET",
        "/stream",
        f"stream_{rows}",
        views.stream,
        texts.write_text(texts.STREAM, table),
        needs=Action.READ,
        query=lambda: reads.queries.stream,
        answer=lambda: reads.schemas.stream,
        problems=(400, *QUERY_PROBLEMS),
        **shared,
    )


def _describe_export(view: ExportView) -> Operation:
    table = view.table
    disposition = {
        "description": "A name for the file.",
        "schema": TEXT,
        "example": f'attachment; filename="{table.name}.csv"',
    }
    return Operation(
        "GET",
        "/export",
        f"export_{table.name}",
        view.answer,
        describe_export(table),
        needs=Action.EXPORT,
        query=lambda: build_export_schema(table),
        answer_text=describe_result(table),
        media_types={
            NDJSON: {"schema": FILE, "example": show_ndjson(table)},
            CSV: {"schema": TEXT, "example": show_csv(table)},
        },
        headers={"Content-Disposition": disposition},
        may_lag=True,
    )
