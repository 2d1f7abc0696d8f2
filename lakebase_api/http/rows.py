"""The HTTP operations that read single rows of a table, and how many and which there are."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from lakebase_api.http.documentation import (
    DATABASE_PROBLEMS,
    ETAG,
    HEADERS,
    IF_NONE_MATCH,
    describe_operation,
)
from lakebase_api.http.fields import GREAT_INTEGERS, describe_fields, spell_asked
from lakebase_api.http.filters import build_predicates
from lakebase_api.http.json_response import answer_json, spell_great
from lakebase_api.http.key import Key, refuse_unknown
from lakebase_api.http.reads import Reads
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.resource import Resource
from lakebase_api.sql.counting import Accuracy
from lakebase_api.sql.rows import fetch_one
from lakebase_api.sql.sample import sample_keys

# What an exact count costs, however quick it was, where a row costs 1.
COST_OF_COUNT = 10
AGE = {"Age": {"description": "Seconds since the count.", "schema": {"type": "integer"}}}

COUNT_TEXT = """Count the {rows}, or those that the filters let through.

Exactly if that is quick, and once for all who ask within seconds; else the number is the database's
estimate, until an exact count that goes on meanwhile is done. `accuracy` and `as_of` say which it is.
"""
SAMPLE_TEXT = """Draw five random {row} keys, of all {rows} or of those that the filters let through.

Others at each call, and fast on any table.{gaps}
"""
GAPS_TEXT = """ Keys after a gap in the keys are drawn more often, unless the
filters leave few {rows}."""
GET_TEXT = """Get one {row}.

Its ETag is that of the whole {row}, whichever fields are asked for.
"""


class RowViews:
    """The operations of one table. Safe to share between threads."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._table = reads.database.table

    def add_to(self, resource: Resource) -> None:
        """Serve them."""
        blueprint, schemas, queries = resource.blueprint, self._reads.schemas, self._reads.queries
        table, texts = self._table, self._reads.texts
        resource.add(
            "GET",
            "/count",
            self.count,
            f"count_{texts['names']}",
            COUNT_TEXT.format(**texts),
            blueprint.arguments(queries.count, location="query"),
            blueprint.response(200, schemas.count, headers=HEADERS | AGE),
            blueprint.doc(**describe_operation(f"count_{texts['names']}", 422, *DATABASE_PROBLEMS)),
        )
        gaps = GAPS_TEXT.format(**texts) if table.has_integer_key else ""
        resource.add(
            "GET",
            "/sample",
            self.sample,
            f"sample_{texts['names']}",
            SAMPLE_TEXT.format(gaps=gaps, **texts),
            blueprint.arguments(queries.sample, location="query"),
            blueprint.response(200, schemas.sample, headers=HEADERS),
            blueprint.doc(**describe_operation(f"sample_{texts['names']}", 422, *DATABASE_PROBLEMS)),
        )
        resource.add(
            "GET",
            "/{key}",
            self.get,
            f"get_{table.one}",
            GET_TEXT.format(**texts),
            blueprint.response(200, schemas.row, headers=HEADERS | ETAG),
            blueprint.alt_response(304, description=f"The {texts['row']} is as `If-None-Match` says."),
            blueprint.doc(
                **describe_operation(f"get_{table.one}", 400, 404, 422, *DATABASE_PROBLEMS),
                parameters=[IF_NONE_MATCH, describe_fields(table), GREAT_INTEGERS],
            ),
        )

    def get(self, key: Key) -> Response:
        """The row of a key. Problems: there is none."""
        query = self._read_query() if request.query_string else None
        found = self._reads.database.read(fetch_one, key)
        if found is None:
            refuse_unknown(self._table, key)
        row, etag = found
        is_known = request.if_none_match.contains_weak(etag)
        response = Response(status=304) if is_known else answer_json(self._show(row, query))
        response.set_etag(etag)
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    def count(self, query: dict[str, Any]) -> Response:
        """How many rows there are."""
        counts, which = self._reads.counts, build_predicates(self._table, query)
        count = counts.ask(which, query.get("accuracy"), current_exchange().deadline)
        if count.accuracy is Accuracy.EXACT:
            current_exchange().cost = COST_OF_COUNT - 1
        as_of = count.as_of.isoformat(timespec="microseconds")
        total = f"total_{self._table.name}"
        response = answer_json({total: count.total, "accuracy": count.accuracy, "as_of": as_of})
        response.headers["Cache-Control"] = f"private, max-age={round(counts.lifetime(which, count))}"
        response.headers["Age"] = f"{count.age():.0f}"
        return response

    def sample(self, query: dict[str, Any]) -> Response:
        """A few random keys."""
        which = build_predicates(self._table, query)
        # Where a probe needs no arithmetic, as of an integer, it may take a walk through the table.
        is_quick = self._table.has_integer_key and not which.shape
        read = self._reads.database.read if is_quick else self._reads.database.read_long
        keys = read(sample_keys, which)
        shown: list[Any]
        if self._table.has_integer_key:
            shown = [key for (key,) in keys]
            if query.get("great_integers") == "text":
                shown = list(map(spell_great, shown))
        else:
            shown = [spell_asked(self._table, key) for key in self._reads.renderer.show_keys(keys)]
        response = answer_json({f"sample_{self._table.one}_keys": shown})
        response.headers["Cache-Control"] = "no-store"
        return response

    def _read_query(self) -> Mapping[str, Any]:
        parser = self._reads.parser
        query: Mapping[str, Any] = parser.parse(self._reads.queries.row, request, location="query")
        return query

    def _show(self, row: Any, query: Mapping[str, Any] | None) -> Any:
        if query is None:
            return self._reads.renderer.show_one(row, self._table.names)
        great_as_text = query.get("great_integers") == "text"
        return self._reads.renderer.show_one(row, query["shown"], great_as_text=great_as_text)
