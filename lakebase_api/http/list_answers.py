"""The answers that show several rows, in the form that the caller prefers."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Response, request

from lakebase_api.http.csv_ndjson import CSV, CSV_CONTENT_TYPE, NDJSON, write_ndjson
from lakebase_api.http.json_response import JSON, answer_json
from lakebase_api.http.negotiation import VARY, negotiate
from lakebase_api.http.rendering import Renderer
from lakebase_api.sql.shown import Form

FORMS = (JSON, CSV, NDJSON)
# What the links of an answer are made of, and the rest of what is asked.
WHAT_IS_ASKED = ("wsgi.url_scheme", "HTTP_HOST", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")


@dataclass(frozen=True)
class AnswerForm:
    """What an answer that shows rows is to look like."""

    media_type: str
    fields: tuple[str, ...]
    quotes_formulas: bool
    has_bom: bool
    great_as_text: bool

    @property
    def values(self) -> Form:
        """What its values are to be read as."""
        return Form.CSV if self.media_type == CSV else Form.JSON


def choose_form(query: Mapping[str, Any]) -> AnswerForm:
    """What the request asks for. Problems: it takes none of the media types."""
    great_as_text = query.get("great_integers") == "text"
    return AnswerForm(negotiate(*FORMS), query["shown"], query["quote_formulas"], query["bom"], great_as_text)


def answer_rows(
    name: str,
    renderer: Renderer,
    form: AnswerForm,
    rows: Sequence[Sequence[Any]],
    around: Mapping[str, object],
) -> Response:
    """An answer with rows that begin with the fields; in JSON with a name, and what is ``around`` them."""
    if form.media_type == CSV:
        table = renderer.write_csv(rows, form.fields, quotes_formulas=form.quotes_formulas)
        response = Response(BOM_UTF8 * form.has_bom + table, content_type=CSV_CONTENT_TYPE)
    else:
        shown = renderer.show(rows, form.fields, great_as_text=form.great_as_text)
        if form.media_type == NDJSON:
            response = Response(write_ndjson(shown), content_type=NDJSON)
        else:
            response = answer_json({name: shown, **around})
    return _add_caching(response)


def answer_unchanged(etag: str) -> Response | None:
    """Answer 304 if the caller has the answer of that ETag already."""
    if not request.if_none_match.contains_weak(etag):
        return None
    response = _add_caching(Response(status=304))
    response.set_etag(etag)
    return response


def compute_etag(state: str, form: AnswerForm, *parts: object) -> str:
    """The ETag of the answer to this request, read in that state of the database and made of these parts."""
    environ = request.environ
    asked = [environ.get(name) for name in WHAT_IS_ASKED]
    content = msgspec.json.encode((state, form.media_type, asked, parts))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _add_caching(response: Response) -> Response:
    response.headers.add(*VARY)
    response.headers.add("Cache-Control", "private, no-cache")
    return response
