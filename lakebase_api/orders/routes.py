"""The HTTP operations on single orders, and on how many and which there are.

Docstrings are the text of the API documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request

from lakebase_api.lakebase.database import Database
from lakebase_api.orders import schemas
from lakebase_api.orders.counting import OrderCounts
from lakebase_api.orders.filters import build_filter
from lakebase_api.orders.lists import schemas as list_schemas
from lakebase_api.orders.lists.answers import asks_great_as_text, select_fields
from lakebase_api.orders.order import Order
from lakebase_api.orders.order_key import OrderKeyConverter, describe_order_key, refuse_unknown
from lakebase_api.orders.queries import OrderQueries
from lakebase_api.web.answers import answer_json, spell_great
from lakebase_api.web.documentation import (
    DATABASE_PROBLEMS,
    ETAG,
    HEADERS,
    IF_NONE_MATCH,
    DocumentedApi,
    describe_operation,
)
from lakebase_api.web.exchange import current_exchange
from lakebase_api.web.validation import Blueprint

AGE = {"Age": {"description": "Seconds since the count.", "schema": {"type": "integer"}}}

ORDER_QUERY = list_schemas.OrderQuerySchema()

orders = Blueprint("orders-read", __name__, url_prefix="/orders", description="Orders of TPC-H.")


@dataclass(frozen=True)
class OrdersContext:
    """What the operations work with."""

    database: Database
    queries: OrderQueries
    counts: OrderCounts


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
def count_orders(query: dict[str, Any]) -> Response:
    """Count the orders, or those that the filters let through.

    Exactly if that is quick, and once for all who ask within seconds; else the number is the database's
    estimate, until an exact count that goes on meanwhile is done. `accuracy` and `as_of` say which it is.
    """
    counts, which = _context().counts, build_filter(query)
    count = counts.ask(which, query.get("accuracy"), current_exchange().deadline)
    as_of = count.as_of.isoformat(timespec="microseconds")
    response = answer_json({"total_orders": count.total, "accuracy": count.accuracy, "as_of": as_of})
    response.headers["Cache-Control"] = f"private, max-age={round(counts.lifetime(which, count))}"
    response.headers["Age"] = f"{count.age():.0f}"
    return response


@orders.route("/sample")
@orders.arguments(list_schemas.SampleQuerySchema, location="query")
@orders.response(200, schemas.SampleSchema, headers=HEADERS)
@orders.doc(**describe_operation("sample_orders", 422, *DATABASE_PROBLEMS))
def sample_orders(query: dict[str, Any]) -> Response:
    """Draw five random order keys, of all orders or of those that the filters let through.

    Others at each call, and fast on any table. Keys after a gap in the keys are drawn more often, unless the
    filters leave few orders.
    """
    context, which = _context(), build_filter(query)
    read = context.database.read_long if which.shape else context.database.read
    keys = read(context.queries.sample_keys, which)
    shown = [spell_great(key) for key in keys] if asks_great_as_text(query) else keys
    response = answer_json({"sample_order_keys": shown})
    response.headers["Cache-Control"] = "no-store"
    return response


@orders.route("/<order_key:order_key>")
@orders.response(200, schemas.OrderSchema, headers=HEADERS | ETAG)
@orders.alt_response(304, description="The order is as `If-None-Match` says.")
@orders.doc(
    **describe_operation("get_order", 400, 404, 422, *DATABASE_PROBLEMS),
    parameters=[IF_NONE_MATCH, list_schemas.FIELDS, list_schemas.GREAT_INTEGERS],
)
def get_order(order_key: int) -> Response:
    """Get one order.

    Its ETag is that of the whole order, whichever fields are asked for.
    """
    query = _read_query()
    context = _context()
    found = context.database.read(context.queries.fetch_order, order_key)
    if found is None:
        refuse_unknown(order_key)
    order, etag = found
    is_known = request.if_none_match.contains_weak(etag)
    response = Response(status=304) if is_known else answer_json(_show(order, query))
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _read_query() -> Mapping[str, Any] | None:
    if not request.query_string:
        return None
    query: Mapping[str, Any] = orders.ARGUMENTS_PARSER.parse(ORDER_QUERY, request, location="query")
    return query


def _show(order: Order, query: Mapping[str, Any] | None) -> Order | dict[str, object]:
    if query is None:
        return order
    return select_fields(order, query["shown"], great_as_text=asks_great_as_text(query))
