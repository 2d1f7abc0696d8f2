"""The HTTP operations on the status of orders. Docstrings are the text of the API documentation."""

from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app

from lakebase_api.orders.order_key import refuse_unknown
from lakebase_api.orders.status import schemas
from lakebase_api.orders.status.change import Item, ItemResult, Outcome
from lakebase_api.orders.status.history import HistoryQueries
from lakebase_api.orders.status.writer import REFUSALS, StatusWriter, answer_change
from lakebase_api.settings import StatusWrites
from lakebase_api.web import conditions as headers
from lakebase_api.web import problem_types as kinds
from lakebase_api.web.answers import answer_json
from lakebase_api.web.documentation import ETAG, HEADERS, DocumentedApi, describe_operation
from lakebase_api.web.problems import Problem
from lakebase_api.web.validation import MERGE_PATCH, Blueprint, refuse, refuse_query

CHANGE_PROBLEMS = (400, 403, 404, 409, 412, 413, 415, 422, 428, 500, 503, 504)

UPDATED = "Order status updated successfully"
WITHDRAWN = "Order status change withdrawn"

REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` if this is the answer of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string"},
    }
}
CHANGE_HEADERS = HEADERS | ETAG | REPLAYED
CHANGE_PARAMETERS = [headers.IF_MATCH, headers.IDEMPOTENCY_KEY, headers.PREFER]

BATCH = {
    "type": "array",
    "items": schemas.BatchItemSchema,
    "minItems": 1,
    "maxItems": schemas.GREATEST_BATCH,
}
HISTORY_FIELDS = ("o_orderkey", "o_orderstatus", "synced_status", "status_conflict", "changes")

status = Blueprint(
    "status", __name__, url_prefix="/orders", description="The status of orders, and its history."
)


@dataclass(frozen=True)
class StatusContext:
    """What the operations work with."""

    writer: StatusWriter
    history: HistoryQueries


def register_status(app: Flask, api: DocumentedApi, context: StatusContext) -> None:
    """Serve the operations on the status of orders."""
    app.extensions["order-status"] = context
    api.register_blueprint(status)


def _context() -> StatusContext:
    context: StatusContext = current_app.extensions["order-status"]
    return context


@status.route("/<order_key:order_key>/status", methods=["POST"])
@status.arguments(schemas.StatusUpdateSchema)
@status.response(200, schemas.StatusSchema, headers=CHANGE_HEADERS)
@status.alt_response(204, description="As 200, for `Prefer: return=minimal`.")
@status.doc(**describe_operation("update_order_status", *CHANGE_PROBLEMS), parameters=CHANGE_PARAMETERS)
def update_order_status(body: dict[str, str], order_key: int) -> Response:
    """Change the status of an order.

    The same status again changes nothing and answers 200.
    """
    refuse_query()
    return _change_one(order_key, body["o_orderstatus"], UPDATED)


@status.route("/<order_key:order_key>", methods=["PATCH"])
@status.arguments(schemas.StatusUpdateSchema, content_type=MERGE_PATCH)
@status.response(200, schemas.StatusSchema, headers=CHANGE_HEADERS)
@status.alt_response(204, description="As 200, for `Prefer: return=minimal`.")
@status.doc(**describe_operation("patch_order", *CHANGE_PROBLEMS), parameters=CHANGE_PARAMETERS)
def patch_order(body: dict[str, str], order_key: int) -> Response:
    """Change an order.

    A JSON merge patch (RFC 7396). Only the status can be changed.
    """
    refuse_query()
    return _change_one(order_key, body["o_orderstatus"], UPDATED)


@status.route("/<order_key:order_key>/status", methods=["DELETE"])
@status.response(200, schemas.StatusSchema, headers=CHANGE_HEADERS)
@status.alt_response(204, description="As 200, for `Prefer: return=minimal`.")
@status.doc(**describe_operation("withdraw_order_status", *CHANGE_PROBLEMS), parameters=CHANGE_PARAMETERS)
def withdraw_order_status(order_key: int) -> Response:
    """Withdraw the change of an order's status.

    The status of the orders table shows again, and the history keeps what was. Where nothing was changed
    nothing happens.
    """
    refuse_query()
    if _context().writer.settings.status_writes == StatusWrites.DIRECT:
        raise Problem(kinds.NOT_WITHDRAWABLE, kinds.NOT_WITHDRAWABLE.meaning)
    return _change_one(order_key, None, WITHDRAWN)


@status.route("/status", methods=["POST"])
@status.arguments(schemas.BatchItemSchema(many=True))
@status.arguments(schemas.BatchQuerySchema, location="query")
@status.response(200, schemas.BatchSchema, headers=HEADERS | REPLAYED)
@status.alt_response(204, description="As 200, for `Prefer: return=minimal`.")
@status.doc(
    **describe_operation("update_order_statuses", *CHANGE_PROBLEMS),
    requestBody={"content": {"application/json": {"schema": BATCH}}},
    parameters=[headers.IDEMPOTENCY_KEY, headers.PREFER],
)
def update_order_statuses(body: list[dict[str, Any]], query: dict[str, bool]) -> Response:
    """Change the status of up to 1,000 orders.

    In one transaction. When one of them is refused none is changed, and the problem lists the first of those
    in `errors`; with `atomic=false` the others are changed, and the answer says what became of each. The body
    may have 64 KiB.
    """
    _refuse_batch(body)
    writer, conditions = _context().writer, headers.read_conditions()
    items = [_read_item(item) for item in body]
    result = writer.change(items, body, conditions, is_atomic=query["atomic"])
    refused = [(place, item) for place, item in enumerate(result.items) if item.outcome in REFUSALS]
    if refused and query["atomic"]:
        invalid = [{"in": "body", "name": str(n), "detail": writer.explain(item)} for n, item in refused]
        first = refused[0][1]
        raise Problem(REFUSALS[first.outcome], writer.explain(first), invalid=invalid)
    outcomes = [item.outcome for item in result.items]
    answer = {
        "changed": outcomes.count(Outcome.CHANGED),
        "unchanged": outcomes.count(Outcome.UNCHANGED),
        "refused": len(refused),
        "results": [_describe_result(writer, item) for item in result.items],
    }
    return answer_change(answer, result, conditions)


@status.route("/<order_key:order_key>/history")
@status.arguments(schemas.HistoryQuerySchema, location="query")
@status.response(200, schemas.HistorySchema, headers=HEADERS)
@status.doc(**describe_operation("get_order_history", 400, 404, 422, 500, 503, 504))
def get_order_history(query: dict[str, int], order_key: int) -> Response:
    """List the changes of an order's status.

    The newest first, also of an order that is gone.
    """
    context = _context()
    page_size = query["page_size"]
    found = context.writer.database.read(context.history.fetch_history, order_key, query["cursor"], page_size)
    if found is None:
        refuse_unknown(order_key)
    pagination = {"page_size": page_size, "has_next": found.has_next, "next_cursor": found.next_cursor}
    body = {name: getattr(found, name) for name in HISTORY_FIELDS}
    response = answer_json({**body, "pagination": pagination})
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _change_one(order_key: int, wanted: str | None, message: str) -> Response:
    writer, conditions = _context().writer, headers.read_conditions()
    result = writer.change([Item(order_key, wanted, conditions.if_match)], wanted, conditions)
    [item] = result.items
    if kind := REFUSALS.get(item.outcome):
        is_weak = item.outcome is Outcome.STALE and conditions.has_weak_etag
        detail = f"{writer.explain(item)}{headers.WEAK_ETAG if is_weak else ''}"
        raise Problem(kind, detail, etag=item.etag)
    body = {"o_orderkey": item.o_orderkey, "o_orderstatus": item.o_orderstatus, "message": message}
    return answer_change(body, result, conditions)


def _refuse_batch(items: list[dict[str, Any]]) -> None:
    """Answer 422 to a batch of no orders, or with an order in it twice."""
    if not items:
        refuse([{"in": "body", "name": "", "detail": f"Must have 1 to {schemas.GREATEST_BATCH} items."}])
    places: dict[int, int] = {}
    twice = [
        {"in": "body", "name": f"{place}.o_orderkey", "detail": f"Is that of item {first} too."}
        for place, item in enumerate(items)
        if (first := places.setdefault(item["o_orderkey"], place)) != place
    ]
    if twice:
        refuse(twice)


def _read_item(item: dict[str, Any]) -> Item:
    etag = item.get("if_match")
    return Item(item["o_orderkey"], item["o_orderstatus"], None if etag is None else [etag])


def _describe_result(writer: StatusWriter, item: ItemResult) -> dict[str, Any]:
    result = {"o_orderkey": item.o_orderkey, "o_orderstatus": item.o_orderstatus, "etag": item.etag}
    if kind := REFUSALS.get(item.outcome):
        return {**result, "status": kind.status, "type": kind.path, "detail": writer.explain(item)}
    return {**result, "status": 200}
