"""Answers with single rows of a table, and how many and which there are."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from lakebase_api.http.fields import spell_asked
from lakebase_api.http.json_response import answer_json, spell_great
from lakebase_api.http.key import Key, refuse_unknown
from lakebase_api.http.reads import Reads, choose_rows
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.validation import read_query
from lakebase_api.sql.counting import Accuracy
from lakebase_api.sql.rows import fetch_one
from lakebase_api.sql.sample import sample_keys

# What an exact count costs, however quick it was, where a row costs 1.
COST_OF_COUNT = 10


class RowViews:
    """The views of one table. Safe to share between threads."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._table = reads.table

    def get(self, key: Key) -> Response:
        """The row of a key. Problems: there is none."""
        query = read_query(self._reads.queries.row) if request.query_string else None
        found = self._reads.database.read(fetch_one, key, current_exchange().within)
        if found is None:
            refuse_unknown(self._table, key)
        row, etag = found
        is_known = request.if_none_match.contains_weak(etag)
        current_exchange().rows = 0 if is_known else 1
        response = Response(status=304) if is_known else answer_json(self._show(row, query))
        response.set_etag(etag)
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    def count(self, query: dict[str, Any]) -> Response:
        """How many rows there are."""
        counts, which = self._reads.counts, choose_rows(self._table, query)
        exchange = current_exchange()
        count = counts.ask(which, query.get("accuracy"), exchange.deadline, exchange.reads_after)
        if count.accuracy is Accuracy.EXACT:
            exchange.cost = COST_OF_COUNT - 1
        as_of = count.as_of.isoformat(timespec="microseconds")
        total = f"total_{self._table.name}"
        response = answer_json({total: count.total, "accuracy": count.accuracy, "as_of": as_of})
        response.headers["Cache-Control"] = f"private, max-age={round(counts.lifetime(which, count))}"
        response.headers["Age"] = f"{count.age():.0f}"
        return response

    def sample(self, query: dict[str, Any]) -> Response:
        """A few random keys."""
        which = choose_rows(self._table, query)
        # Where a probe needs no arithmetic, as of an integer, it may take a walk through the table.
        is_quick = self._table.has_integer_key and not which.shape
        read = self._reads.database.read if is_quick else self._reads.database.read_long
        keys = read(sample_keys, which)
        current_exchange().rows = len(keys)
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

    def _show(self, row: Any, query: Mapping[str, Any] | None) -> Any:
        if query is None:
            return self._reads.renderer.show_one(row, self._table.names)
        great_as_text = query.get("great_integers") == "text"
        return self._reads.renderer.show_one(row, query["shown"], great_as_text=great_as_text)
