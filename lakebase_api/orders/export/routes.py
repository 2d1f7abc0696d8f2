"""The HTTP operation that exports orders. Docstrings are the text of the API documentation."""

from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request

from lakebase_api.orders.export.chunks import Export
from lakebase_api.orders.export.exporting import Caller, ClientGone, Exports, Unfinished
from lakebase_api.orders.export.schemas import FORMATS, ExportQuerySchema
from lakebase_api.orders.filters import build_filter
from lakebase_api.orders.lists.answers import asks_great_as_text
from lakebase_api.web import problem_types as kinds
from lakebase_api.web.documentation import DATABASE_PROBLEMS, HEADERS, DocumentedApi, describe_operation
from lakebase_api.web.exchange import current_exchange
from lakebase_api.web.negotiation import VARY, negotiate
from lakebase_api.web.problems import Problem
from lakebase_api.web.tables import CSV, FORMULA_STARTS, NDJSON
from lakebase_api.web.validation import Blueprint

exports = Blueprint("exports", __name__, url_prefix="/orders", description="All orders at once.")

CSV_EXAMPLE = """\
o_orderkey,o_custkey,o_orderstatus,o_totalprice,o_orderdate,o_orderpriority,o_clerk,o_shippriority,o_comment
1,36901,O,173665.47,1996-01-02,5-LOW,Clerk#000000951,0,nstructions sleep furiously among\x20
"""
NDJSON_EXAMPLE = """\
{"o_orderkey":1,"o_custkey":36901,"o_orderstatus":"O","o_totalprice":173665.47,"o_orderdate":"1996-01-02",\
"o_orderpriority":"5-LOW","o_clerk":"Clerk#000000951","o_shippriority":0,\
"o_comment":"nstructions sleep furiously among "}
{"next_cursor":null}
"""
DESCRIPTION = "The orders; in NDJSON with a last line that says where to go on, unless `trailer` is `false`."
TEXT = {"type": "string"}
# A generator takes the type of the answer from the first form that it knows. openapi-generator's clients do
# not read an export that is a text; openapi-python-client's, which do not know NDJSON, not CSV as a file.
FILE = {"type": "string", "format": "binary"}
EXPORT_HEADERS = HEADERS | {
    "Content-Disposition": {
        "description": "A name for the file.",
        "schema": {"type": "string"},
        "example": 'attachment; filename="orders.csv"',
    }
}


@dataclass(frozen=True)
class ExportContext:
    """What the operation works with. An export may take ``time_limit`` seconds."""

    exports: Exports
    time_limit: float


def register_exports(app: Flask, api: DocumentedApi, context: ExportContext) -> None:
    """Serve exports of orders."""
    app.extensions["order-exports"] = context
    api.register_blueprint(exports)


@exports.route("/export")
@exports.arguments(ExportQuerySchema, location="query")
@exports.response(
    200,
    FILE,
    content_type=NDJSON,
    description=DESCRIPTION,
    example=NDJSON_EXAMPLE,
    headers=EXPORT_HEADERS,
)
@exports.alt_response(
    200,
    schema=TEXT,
    content_type=CSV,
    description=DESCRIPTION,
    example=CSV_EXAMPLE,
    headers=EXPORT_HEADERS,
    success=True,
)
@exports.doc(**describe_operation("export_orders", 422, *DATABASE_PROBLEMS))
def export_orders(query: dict[str, Any]) -> Response:
    """Export the orders after a cursor.

    Streamed in the order of the keys. An export is not one snapshot: it reads the table a range of keys at a
    time, so that nobody has to wait for it, and shows each order as it was at some moment of the export.

    It ends by itself after `EXPORT_TIME_LIMIT` seconds, or those of `X-Request-Timeout`, and when the service
    is stopped. In NDJSON the last line then is `{"next_cursor":…}`: ask again with that cursor, until it is
    `null`. In CSV, and with `trailer=false`, nothing but rows is sent: ask again with `cursor` as the
    `o_orderkey` of the last row, until an answer has no row. Of an answer that was cut on its way, drop what
    follows the last whole row and go on after that one, in either format.
    """
    media_type = FORMATS[query["form"]] if "form" in query else negotiate(CSV, NDJSON)
    has_header = media_type == CSV and query.get("header", query.get("cursor") is None)
    if request.method == "HEAD":
        return _answer((), media_type, has_header=has_header)
    export = _build_export(query, is_csv=media_type == CSV)
    header = ",".join(query["shown"]).encode() + b"\n" if has_header else b""
    if export.is_csv and query["bom"]:
        header = BOM_UTF8 + header
    context, exchange = _context(), current_exchange()
    deadline = exchange.deadline_within(context.time_limit)
    caller = Caller(exchange.request_id, deadline, _find_client())
    try:
        running = context.exports.begin(export, query.get("cursor"), header, caller)
    except Unfinished as error:
        detail = "There was no time to look for the first order."
        if error.reached is not None:
            detail = f"There is no such order up to key {error.reached}, and no time to look further."
        raise Problem(kinds.EXPORT_UNFINISHED, detail) from None
    except ClientGone:
        return Response(status=499)  # for the log, as nginx has it
    exchange.record_use(running.work.waited, running.work.held)
    return _answer(running, media_type, has_header=has_header)


def _build_export(query: dict[str, Any], *, is_csv: bool) -> Export:
    return Export(
        build_filter(query),
        query["shown"],
        is_csv,
        disarmed=FORMULA_STARTS if is_csv and query["quote_formulas"] else (),
        tells_cursor=query["trailer"] and not is_csv,
        great_as_text=asks_great_as_text(query) and not is_csv,
    )


def _find_client() -> int | None:
    client = request.environ.get("gunicorn.socket")
    return client.fileno() if client else None


def _context() -> ExportContext:
    context: ExportContext = current_app.extensions["order-exports"]
    return context


def _answer(body: Any, media_type: str, *, has_header: bool) -> Response:
    content_type, name = NDJSON, "orders.ndjson"
    if media_type == CSV:
        header = "present" if has_header else "absent"
        content_type, name = f"{CSV}; charset=utf-8; header={header}", "orders.csv"
    response = Response(body, content_type=content_type)
    response.headers.add("Content-Disposition", f'attachment; filename="{name}"')
    response.headers.add("Cache-Control", "no-store")
    response.headers.add(*VARY)
    return response
