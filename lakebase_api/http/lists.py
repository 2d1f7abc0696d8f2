"""Answers with lists of rows of a table: by keys, by page number, and by cursor."""

from typing import Any

from flask import Response, request

from lakebase_api.http import problem_types as kinds
from lakebase_api.http.cursors import ForeignCursor
from lakebase_api.http.fields import spell_asked
from lakebase_api.http.json_response import spell_great
from lakebase_api.http.key import Key
from lakebase_api.http.links import Targets, add_link_header, describe_links
from lakebase_api.http.list_answers import (
    AnswerForm,
    answer_rows,
    answer_unchanged,
    choose_form,
    compute_etag,
)
from lakebase_api.http.problems import Problem
from lakebase_api.http.reads import Reads, choose_rows
from lakebase_api.http.request_context import current_exchange
from lakebase_api.sql.counting import Accuracy, Count
from lakebase_api.sql.key_pages import fetch_after, fetch_at
from lakebase_api.sql.page import Listing, Page, Position
from lakebase_api.sql.rows import fetch_many
from lakebase_api.sql.sort_pages import fetch_sorted
from lakebase_api.sql.state import fetch_state


class ListViews:
    """The views of one table. Safe to share between threads."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._table = reads.table

    def get_several(self, query: dict[str, Any]) -> Response:
        """The rows of several keys."""
        form, keys = choose_form(query), query["keys"]
        exchange = current_exchange()
        found, state = self._reads.database.read(fetch_many, keys, form.fields, form.values, exchange.within)
        exchange.state = state or exchange.state
        rows = [found[key] for key in keys if key in found]
        missing = [self._spell_missing(key, form) for key in keys if key not in found]
        return self._answer(form, rows, {"missing": missing})

    def list_pages(self, query: dict[str, Any]) -> Response:
        """A page by its number."""
        form, page = choose_form(query), query["page"]
        listing, reads = self._build_listing(query, form), self._reads
        count = None
        if query["include_count"]:
            exchange = current_exchange()
            count = reads.counts.ask(listing.which, None, exchange.deadline, exchange.reads_after)
        if unchanged := self._answer_unchanged(form, listing, count):
            return unchanged
        offset = (page - 1) * listing.page_size
        read = reads.database.read_long if listing.may_be_long(offset) else reads.database.read
        if listing.is_by_key:
            found = read(fetch_at, listing, page, reads.counts.recall(listing.which))
        else:
            found = read(fetch_sorted, listing, Position(), offset)
        pages = None if count is None else -(-count.total // listing.page_size)
        pagination = {
            "page": page,
            "page_size": listing.page_size,
            "total_pages": pages,
            "total_count": count and count.total,
            **self._describe_neighbours(listing, found),
        }
        if count and count.accuracy is Accuracy.ESTIMATED:
            pagination["total_accuracy"] = count.accuracy
        targets: Targets = {
            "self": {},
            "first": {"page": 1},
            "prev": None if found.previous is None else {"page": page - 1},
            "next": None if found.next is None else {"page": page + 1},
            "last": {"page": pages} if pages and count and count.accuracy is Accuracy.EXACT else None,
        }
        return self._answer_page(form, listing, found, pagination, targets, count)

    def stream(self, query: dict[str, Any]) -> Response:
        """A page after a cursor."""
        form = choose_form(query)
        listing = self._build_listing(query, form)
        position = self._find_position(listing, query["cursor"])
        if unchanged := self._answer_unchanged(form, listing):
            return unchanged
        database = self._reads.database
        read = database.read_long if listing.may_be_long() else database.read
        if not isinstance(position, Position):
            found = read(fetch_after, listing, position)
        elif listing.is_by_key:
            found = read(fetch_at, listing, page=1)
        else:
            found = read(fetch_sorted, listing, position)
        neighbours = self._describe_neighbours(listing, found)
        targets: Targets = {
            "self": {},
            "first": {"cursor": None},
            "prev": {"cursor": neighbours["previous_cursor"]} if neighbours["has_previous"] else None,
            "next": {"cursor": neighbours["next_cursor"]} if neighbours["has_next"] else None,
        }
        pagination = {"page_size": listing.page_size, **neighbours}
        return self._answer_page(form, listing, found, pagination, targets)

    def _build_listing(self, query: dict[str, Any], form: AnswerForm) -> Listing:
        which = choose_rows(self._table, query)
        return Listing(self._table, which, query["sort"], form.fields, query["page_size"], form.values)

    def _find_position(self, listing: Listing, cursor: int | str | None) -> int | Position:
        """Where a cursor of the list says to begin."""
        if isinstance(cursor, str) and not listing.is_by_key:
            try:
                return self._reads.cursors.read(cursor, listing.sort, listing.which)
            except ForeignCursor:
                raise Problem(kinds.FOREIGN_CURSOR, kinds.FOREIGN_CURSOR.meaning) from None
        if isinstance(cursor, str):
            raise Problem(kinds.FOREIGN_CURSOR, "The cursors of a list in the order of the keys are keys.")
        # In other orders 0 was the start before it could be left out.
        if cursor is None or (cursor == 0 and not listing.is_by_key):
            return Position()
        if listing.is_by_key:
            return cursor
        raise Problem(kinds.FOREIGN_CURSOR, "A key is a cursor in the order of the keys only.")

    def _answer_unchanged(
        self, form: AnswerForm, listing: Listing, count: Count | None = None
    ) -> Response | None:
        if not request.if_none_match:
            return None
        state = self._reads.database.read(fetch_state)
        if state is None:
            return None
        return answer_unchanged(self._compute_etag(state, form, listing, count))

    def _answer_page(
        self,
        form: AnswerForm,
        listing: Listing,
        page: Page,
        pagination: dict[str, Any],
        targets: Targets,
        count: Count | None = None,
    ) -> Response:
        links = describe_links(targets)
        response = self._answer(form, page.rows, {"pagination": pagination, "links": links})
        exchange = current_exchange()
        exchange.state = page.state or exchange.state
        if count is not None:
            exchange.good_until = self._find_end(count, listing)
        if page.state is not None:
            response.set_etag(self._compute_etag(page.state, form, listing, count))
        add_link_header(response, links)
        return response

    def _find_end(self, count: Count, listing: Listing) -> float:
        """When another count may take its place: of an estimate at once."""
        if count.accuracy is Accuracy.ESTIMATED:
            return count.began
        return count.began + self._reads.counts.lifetime(listing.which, count)

    def _answer(self, form: AnswerForm, rows: Any, around: dict[str, Any]) -> Response:
        current_exchange().rows = len(rows)
        return answer_rows(self._table.name, self._reads.renderer, form, rows, around)

    def _compute_etag(self, state: str, form: AnswerForm, listing: Listing, count: Count | None) -> str:
        """The ETag, another one with another secret where that makes the cursors."""
        within = current_exchange().within
        parts: list[object] = [within.shape, within.values] if within.shape else []
        parts += [[column.name for column in self._table.hidden]] if self._table.hidden else []
        parts += [count.total, count.accuracy] if count else []
        return compute_etag(state, form, *parts, *([] if listing.is_by_key else [self._reads.cursors.mark]))

    def _describe_neighbours(self, listing: Listing, page: Page) -> dict[str, Any]:
        return {
            "has_next": page.next is not None,
            "has_previous": page.previous is not None,
            "next_cursor": self._write_cursor(listing, page.next),
            "previous_cursor": self._write_cursor(listing, page.previous),
        }

    def _write_cursor(self, listing: Listing, position: int | Position | None) -> int | str | None:
        """The cursor of a position; ``None`` where there is none, or no key before the first."""
        if isinstance(position, Position):
            if listing.is_by_key:
                return None
            return self._reads.cursors.write(position, listing.sort, listing.which)
        cursor: int | str | None = spell_great(position)
        return cursor

    def _spell_missing(self, key: Key, form: AnswerForm) -> object:
        if not self._table.has_integer_key:
            return spell_asked(self._table, key)
        return spell_great(key[0]) if form.great_as_text else key[0]
