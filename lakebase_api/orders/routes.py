"""The HTTP operations on orders. Docstrings are the text of the API documentation."""

from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request

from lakebase_api.lakebase.database import Database
from lakebase_api.orders import schemas
from lakebase_api.orders.counting import Accuracy, OrderCount
from lakebase_api.orders.order_key import OrderKeyConverter, describe_order_key, refuse_unknown
from lakebase_api.orders.queries import OrderPage, OrderQueries
from lakebase_api.web.answers import answer_json
from lakebase_api.web.documentation import ETAG, HEADERS, DocumentedApi, describe_operation
from lakebase_api.web.exchange import current_exchange
from lakebase_api.web.paging import PagesQuerySchema, StreamQuerySchema
from lakebase_api.web.validation import Blueprint, refuse_query

# Problems that any operation on the database can answer with.
DATABASE_PROBLEMS = (500, 503, 504)
AGE = {"Age": {"description": "Seconds since the count.", "schema": {"type": "integer"}}}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "ETag of the order as the caller has it.",
    "schema": {"type": "string"},
}

orders = Blueprint("orders", __name__, url_prefix="/orders", description="Orders of TPC-H.")


@dataclass(frozen=True)
class OrdersContext:
    """What the operations work with."""

    database: Database
    queries: OrderQueries
    count: OrderCount


def register_orders(app: Flask, api: DocumentedApi, context: OrdersContext) -> None:
    """Serve the operations on orders."""
    app.extensions["orders"] = context
    app.url_map.converters["order_key"] = OrderKeyConverter
    api.register_converter(OrderKeyConverter, describe_order_key)
    api.register_blueprint(orders)


def _context() -> OrdersContext:
    context: OrdersContext = current_app.extensions["orders"]
    return context


@orders.route("/count")
@orders.arguments(schemas.CountQuerySchema, location="query")
@orders.response(200, schemas.CountSchema, headers=HEADERS | AGE)
@orders.doc(**describe_operation("count_orders", 422, *DATABASE_PROBLEMS))
def count_orders(query: dict[str, Accuracy]) -> Response:
    """Count the orders.

    Exactly if that is quick, and once for all who ask within seconds; else the number is the database's
    estimate, until an exact count that goes on meanwhile is done. `accuracy` and `as_of` say which it is.
    """
    count = _context().count.ask(query.get("accuracy"), current_exchange().deadline)
    response = answer_json(
        {"total_orders": count.total, "accuracy": count.accuracy, "as_of": count.as_of.isoformat()}
    )
    response.headers["Cache-Control"] = f"private, max-age={round(_context().count.lifetime(count))}"
    response.headers["Age"] = f"{count.age():.0f}"
    return response


@orders.route("/sample")
@orders.response(200, schemas.SampleSchema, headers=HEADERS)
@orders.doc(**describe_operation("sample_orders", 422, *DATABASE_PROBLEMS))
def sample_orders() -> Response:
    """Draw five random order keys.

    Others at each call, and fast on any table. Keys after a gap in the keys are drawn more often.
    """
    refuse_query()
    context = _context()
    response = answer_json({"sample_order_keys": context.database.read(context.queries.sample_keys)})
    response.headers["Cache-Control"] = "no-store"
    return response


@orders.route("/<order_key:order_key>")
@orders.response(200, schemas.OrderSchema, headers=HEADERS | ETAG)
@orders.alt_response(304, description="The order is as `If-None-Match` says.")
@orders.doc(**describe_operation("get_order", 400, 404, 422, *DATABASE_PROBLEMS), parameters=[IF_NONE_MATCH])
def get_order(order_key: int) -> Response:
    """Get one order."""
    refuse_query()
    context = _context()
    found = context.database.read(context.queries.fetch_order, order_key)
    if found is None:
        refuse_unknown(order_key)
    order, etag = found
    is_known = request.if_none_match.contains_weak(etag)
    response = Response(status=304) if is_known else answer_json(order)
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@orders.route("/pages")
@orders.arguments(PagesQuerySchema, location="query")
@orders.response(200, schemas.PagesSchema, headers=HEADERS)
@orders.doc(**describe_operation("list_order_pages", 422, *DATABASE_PROBLEMS))
def list_order_pages(query: dict[str, Any]) -> Response:
    """List orders by page number.

    In key order. The further a page is from both ends of a large table, the longer it takes; `/orders/stream`
    takes the same everywhere, and is the better choice to read more than a few pages in turn.
    """
    context = _context()
    page, page_size = query["page"], query["page_size"]
    count = context.count.ask(None, current_exchange().deadline) if query["include_count"] else None
    total = context.count.recall()
    found = context.database.read(context.queries.fetch_page_at, page, page_size, total)
    pagination = {
        "page": page,
        "page_size": page_size,
        "total_pages": count and -(-count.total // page_size),
        "total_count": count and count.total,
        **_describe_neighbours(found),
    }
    if count and count.accuracy is Accuracy.ESTIMATED:
        pagination["total_accuracy"] = count.accuracy
    return answer_json({"orders": found.orders, "pagination": pagination})


@orders.route("/stream")
@orders.arguments(StreamQuerySchema, location="query")
@orders.response(200, schemas.StreamSchema, headers=HEADERS)
@orders.doc(**describe_operation("stream_orders", 422, *DATABASE_PROBLEMS))
def stream_orders(query: dict[str, Any]) -> Response:
    """List the orders after a cursor.

    In key order, equally fast at any depth. Follow `next_cursor` for the next page and
    `previous_cursor` for the page before; `null` where there is none.
    """
    context = _context()
    page_size = query["page_size"]
    found = context.database.read(context.queries.fetch_page_after, query["cursor"], page_size)
    pagination = {"page_size": page_size, **_describe_neighbours(found)}
    return answer_json({"orders": found.orders, "pagination": pagination})


def _describe_neighbours(page: OrderPage) -> dict[str, Any]:
    return {
        "has_next": page.has_next,
        "has_previous": page.has_previous,
        "next_cursor": page.next_cursor,
        "previous_cursor": page.previous_cursor,
    }
