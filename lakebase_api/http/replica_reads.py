"""Which requests a replica may answer, and how a caller reads what it has just changed."""

import re
from collections.abc import Callable
from dataclasses import replace

from flask import Response

from lakebase_api.http.authorization import Build
from lakebase_api.http.operation import Operation
from lakebase_api.http.request_context import Exchange, current_exchange
from lakebase_api.http.resource import Keep
from lakebase_api.http.validation import refuse
from lakebase_api.lakebase.replica import ANYWHERE

HEADER = "X-Read-After"
KEY = "HTTP_X_READ_AFTER"
# https://www.postgresql.org/docs/current/datatype-pg-lsn.html
POSITION = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
READ_AFTER = {
    "in": "header",
    "name": HEADER,
    "description": "What the answer to a change had in this header: what is read shows that change. Without "
    "it a list, count, sample or export may be of a moment ago, where the service reads from a replica.",
    "schema": {"type": "string", "pattern": f"^{POSITION.pattern}$"},
}
COMMITTED = {
    HEADER: {
        "description": "Where the service reads from a replica: send it with a read that is to show it.",
        "schema": {"type": "string"},
    }
}


def describe_replica(build: Build) -> Build:
    """Build the operations of a table with what they take and give where there is a replica."""
    return lambda table: [_describe(operation) for operation in build(table)]


def read_from_replica(keep: Keep) -> Keep:
    """Answer as ``keep`` does, from a replica where the operation and the request let it."""

    def answer(operation: Operation, read: Callable[[], Response]) -> Response:
        exchange = current_exchange()
        if operation.may_lag:
            exchange.reads_after = _find_demand(exchange)
            # What others wait for, or is in memory, may be of before what this one demands.
            return keep(operation, read) if exchange.reads_after == ANYWHERE else read()
        response = keep(operation, read)
        if exchange.committed:
            response.headers[HEADER] = exchange.committed
        return response

    return answer


def _describe(operation: Operation) -> Operation:
    if operation.may_lag:
        return replace(operation, parameters=(*operation.parameters, READ_AFTER))
    if operation.method == "GET":
        return operation
    return replace(operation, headers={**operation.headers, **COMMITTED})


def _find_demand(exchange: Exchange) -> str:
    given = exchange.environ.get(KEY)
    if given is None:
        return ANYWHERE
    if not POSITION.fullmatch(given):
        detail = f"Must be what the answer to a change had in {HEADER}."
        refuse([{"in": "header", "name": HEADER, "detail": detail}])
    return str(given)
