"""The HTTP operations that list orders. Docstrings are the text of the API documentation."""

from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request

from lakebase_api.lakebase.database import Database
from lakebase_api.orders import schemas
from lakebase_api.orders.counting import Accuracy, Count, OrderCounts
from lakebase_api.orders.filters import build_filter
from lakebase_api.orders.lists import schemas as list_schemas
from lakebase_api.orders.lists.answers import (
    LIST_HEADERS,
    Form,
    answer_orders,
    answer_unchanged,
    choose_form,
    compute_etag,
)
from lakebase_api.orders.lists.cursors import CursorCodec, ForeignCursor
from lakebase_api.orders.lists.listing import Listing, Page, Place, StateQuery
from lakebase_api.orders.lists.pages_by_key import PagesByKey
from lakebase_api.orders.lists.sorted_pages import SortedPages
from lakebase_api.orders.queries import OrderQueries
from lakebase_api.web import problem_types as kinds
from lakebase_api.web.answers import spell_great
from lakebase_api.web.documentation import DATABASE_PROBLEMS, IF_NONE_MATCH, DocumentedApi, describe_operation
from lakebase_api.web.exchange import current_exchange
from lakebase_api.web.links import Targets, add_link_header, describe_links
from lakebase_api.web.problems import Problem
from lakebase_api.web.tables import CSV, NDJSON
from lakebase_api.web.validation import Blueprint

lists = Blueprint("lists", __name__, url_prefix="/orders", description="Lists of orders.")

TABLE = {"schema": {"type": "string"}}


def _describe_list(name: str, *problem_statuses: int) -> dict[str, Any]:
    """As ``describe_operation``, for one that answers with tables too, if `Accept` prefers them."""
    described = describe_operation(name, *problem_statuses, 422, *DATABASE_PROBLEMS)
    described["responses"][200] = {"content": {CSV: TABLE, NDJSON: TABLE}}
    return described


@dataclass(frozen=True)
class ListsContext:
    """What the operations work with."""

    database: Database
    queries: OrderQueries
    counts: OrderCounts
    by_key: PagesByKey
    sorted: SortedPages
    cursors: CursorCodec
    state: StateQuery


def register_lists(app: Flask, api: DocumentedApi, context: ListsContext) -> None:
    """Serve the lists of orders."""
    app.extensions["order-lists"] = context
    api.register_blueprint(lists)


def _context() -> ListsContext:
    context: ListsContext = current_app.extensions["order-lists"]
    return context


@lists.route("")
@lists.arguments(list_schemas.KeysQuerySchema, location="query")
@lists.response(200, schemas.KeysSchema, headers=LIST_HEADERS)
@lists.doc(**_describe_list("get_orders"))
def get_orders(query: dict[str, Any]) -> Response:
    """Get several orders by their keys.

    In the order in which they are asked for; `missing` has the keys of which there is none.
    """
    form, context, keys = choose_form(query), _context(), query["keys"]
    found = context.database.read(context.queries.fetch_orders, keys, form.fields)
    rows = [found[key] for key in keys if key in found]
    missing = [key for key in keys if key not in found]
    if form.great_as_text:
        return answer_orders(form, rows, {"missing": [spell_great(key) for key in missing]})
    return answer_orders(form, rows, {"missing": missing})


@lists.route("/pages")
@lists.arguments(list_schemas.PagesQuerySchema, location="query")
@lists.response(200, schemas.PagesSchema, headers=LIST_HEADERS)
@lists.alt_response(304, description="The list is as `If-None-Match` says.")
@lists.doc(**_describe_list("list_order_pages"), parameters=[IF_NONE_MATCH])
def list_order_pages(query: dict[str, Any]) -> Response:
    """List orders by page number.

    In the order of the keys unless `sort` says otherwise. The further a page is from both ends of a large
    table, the longer it takes; `/orders/stream` takes the same everywhere, and is the better choice to read
    more than a few pages in turn.
    """
    form, context, listing, page = choose_form(query), _context(), _build_listing(query), query["page"]
    count = None
    if query["include_count"]:
        count = context.counts.ask(listing.which, None, current_exchange().deadline)
    if unchanged := _answer_unchanged(form, count):
        return unchanged
    offset = (page - 1) * listing.page_size
    read = context.database.read_long if listing.may_be_long(offset) else context.database.read
    if listing.is_by_key:
        found = read(context.by_key.fetch_at, listing, page, context.counts.recall(listing.which))
    else:
        found = read(context.sorted.fetch, listing, Place(), offset)
    pages = None if count is None else -(-count.total // listing.page_size)
    pagination = {
        "page": page,
        "page_size": listing.page_size,
        "total_pages": pages,
        "total_count": count and count.total,
        **_describe_neighbours(listing, found),
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
    return _answer_page(form, found, pagination, targets, count)


@lists.route("/stream")
@lists.arguments(list_schemas.StreamQuerySchema, location="query")
@lists.response(200, schemas.StreamSchema, headers=LIST_HEADERS)
@lists.alt_response(304, description="The list is as `If-None-Match` says.")
@lists.doc(**_describe_list("stream_orders", 400), parameters=[IF_NONE_MATCH])
def stream_orders(query: dict[str, Any]) -> Response:
    """List the orders after a cursor.

    In the order of the keys unless `sort` says otherwise, equally fast at any depth. Follow `next_cursor` for
    the next page and `previous_cursor` for the page before, or rather the `links`, which need no reading;
    `null` where there is none.
    """
    form, context, listing = choose_form(query), _context(), _build_listing(query)
    place = _find_place(listing, query["cursor"])
    if unchanged := _answer_unchanged(form):
        return unchanged
    read = context.database.read_long if listing.may_be_long() else context.database.read
    if not isinstance(place, Place):
        found = read(context.by_key.fetch_after, listing, place)
    elif listing.is_by_key:
        found = read(context.by_key.fetch_at, listing, page=1)
    else:
        found = read(context.sorted.fetch, listing, place)
    neighbours = _describe_neighbours(listing, found)
    targets: Targets = {
        "self": {},
        "first": {"cursor": None},
        "prev": {"cursor": neighbours["previous_cursor"]} if neighbours["has_previous"] else None,
        "next": {"cursor": neighbours["next_cursor"]} if neighbours["has_next"] else None,
    }
    return _answer_page(form, found, {"page_size": listing.page_size, **neighbours}, targets)


def _build_listing(query: dict[str, Any]) -> Listing:
    return Listing(build_filter(query), query["sort"], query["shown"], query["page_size"])


def _find_place(listing: Listing, cursor: int | str | None) -> int | Place:
    """Where a cursor of the list says to begin."""
    if isinstance(cursor, str) and not listing.is_by_key:
        try:
            return _context().cursors.read(cursor, listing.sort, listing.which)
        except ForeignCursor:
            raise Problem(kinds.FOREIGN_CURSOR, kinds.FOREIGN_CURSOR.meaning) from None
    if isinstance(cursor, str):
        raise Problem(kinds.FOREIGN_CURSOR, "The cursors of a list in the order of the keys are keys.")
    # In other orders 0 was the start before it could be left out.
    if cursor is None or (cursor == 0 and not listing.is_by_key):
        return Place()
    if listing.is_by_key:
        return cursor
    raise Problem(kinds.FOREIGN_CURSOR, "A key is a cursor in the order of the keys only.")


def _answer_unchanged(form: Form, count: Count | None = None) -> Response | None:
    if not request.if_none_match:
        return None
    context = _context()
    state = context.database.read(context.state.fetch)
    if state is None:
        return None
    return answer_unchanged(compute_etag(state, form, *_describe_count(count)))


def _answer_page(
    form: Form, page: Page, pagination: dict[str, Any], targets: Targets, count: Count | None = None
) -> Response:
    links = describe_links(targets)
    response = answer_orders(form, page.rows, {"pagination": pagination, "links": links})
    if page.state is not None:
        response.set_etag(compute_etag(page.state, form, *_describe_count(count)))
    add_link_header(response, links)
    return response


def _describe_count(count: Count | None) -> tuple[object, ...]:
    return (count.total, count.accuracy) if count else ()


def _describe_neighbours(listing: Listing, page: Page) -> dict[str, Any]:
    return {
        "has_next": page.next is not None,
        "has_previous": page.previous is not None,
        "next_cursor": _write_cursor(listing, page.next),
        "previous_cursor": _write_cursor(listing, page.previous),
    }


def _write_cursor(listing: Listing, place: int | Place | None) -> int | str | None:
    """The cursor of a place; ``None`` where there is none, or no key before the first."""
    if isinstance(place, Place):
        return None if listing.is_by_key else _context().cursors.write(place, listing.sort, listing.which)
    cursor: int | str | None = spell_great(place)
    return cursor
