"""The answers that show several orders, in the form that the caller prefers."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Response, request

from lakebase_api.orders.order import COLUMNS, INTEGER_COLUMNS, TEXT_COLUMNS, Order
from lakebase_api.web.answers import JSON, answer_json, spell_great
from lakebase_api.web.documentation import ETAG, HEADERS
from lakebase_api.web.links import LINK
from lakebase_api.web.negotiation import VARY, negotiate
from lakebase_api.web.tables import CSV, CSV_CONTENT_TYPE, NDJSON, write_csv, write_ndjson

FORMS = (JSON, CSV, NDJSON)
# What the links of an answer are made of, and the rest of what is asked.
WHAT_IS_ASKED = ("wsgi.url_scheme", "HTTP_HOST", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")
LIST_HEADERS = HEADERS | ETAG | LINK


@dataclass(frozen=True)
class Form:
    """What an answer that shows orders is to look like."""

    media_type: str
    fields: tuple[str, ...]
    quotes_formulas: bool
    has_bom: bool
    great_as_text: bool


def choose_form(query: Mapping[str, Any]) -> Form:
    """What the request asks for. Problems: it takes none of the media types."""
    return Form(
        negotiate(*FORMS), query["shown"], query["quote_formulas"], query["bom"], asks_great_as_text(query)
    )


def asks_great_as_text(query: Mapping[str, Any]) -> bool:
    """Whether integers that JavaScript would round are to be texts."""
    return bool(query.get("great_integers") == "text")


def answer_orders(form: Form, rows: Sequence[Sequence[Any]], around: Mapping[str, object]) -> Response:
    """An answer with rows that begin with the fields, in JSON with what is ``around`` them."""
    if form.media_type == JSON:
        response = answer_json({"orders": _show(rows, form), **around})
    elif form.media_type == NDJSON:
        response = Response(write_ndjson(_show(rows, form)), content_type=NDJSON)
    else:
        cells = [row[: len(form.fields)] for row in rows]
        table = write_csv(form.fields, cells, disarmed=TEXT_COLUMNS if form.quotes_formulas else ())
        response = Response(BOM_UTF8 * form.has_bom + table, content_type=CSV_CONTENT_TYPE)
    return _add_caching(response)


def answer_unchanged(etag: str) -> Response | None:
    """Answer 304 if the caller has the answer of that ETag already."""
    if not request.if_none_match.contains_weak(etag):
        return None
    response = _add_caching(Response(status=304))
    response.set_etag(etag)
    return response


def compute_etag(state: str, form: Form, *parts: object) -> str:
    """The ETag of the answer to this request, read in that state of the database and made of these parts."""
    environ = request.environ
    asked = [environ.get(name) for name in WHAT_IS_ASKED]
    content = msgspec.json.encode((state, form.media_type, asked, parts))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def select_fields(
    order: Order, fields: tuple[str, ...], *, great_as_text: bool = False
) -> Order | dict[str, object]:
    """The order as it stands in JSON with these fields."""
    if great_as_text:
        return {name: _spell(name, getattr(order, name)) for name in fields}
    return order if fields == COLUMNS else {name: getattr(order, name) for name in fields}


def _add_caching(response: Response) -> Response:
    response.headers.add(*VARY)
    response.headers.add("Cache-Control", "private, no-cache")
    return response


def _show(rows: Iterable[Sequence[Any]], form: Form) -> list[Any]:
    fields = form.fields
    if form.great_as_text:
        return [{name: _spell(name, value) for name, value in zip(fields, row, strict=False)} for row in rows]
    if fields == COLUMNS:
        size = len(fields)
        return [Order(*row[:size]) for row in rows]
    return [dict(zip(fields, row, strict=False)) for row in rows]


def _spell(name: str, value: object) -> object:
    return spell_great(value) if name in INTEGER_COLUMNS else value
