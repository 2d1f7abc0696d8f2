"""An operation: a method of a path, what it takes, what serves it, and what the document says of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Any

from flask import Response
from marshmallow import Schema

from lakebase_api.access.rights import Need

View = Callable[..., Response]
Answer = Callable[[], Response]
# Makes a schema when a request or the document first needs it: at start those of 50 tables took 0.2 s, and
# 23 MB.
BuildSchema = Callable[[], Schema]
BuildDocument = Callable[[], type[Schema]]

# The header by which a request demands a version of the data, as the environment of WSGI has it.
DEMAND_KEY = "HTTP_X_MIN_DATA_VERSION"

# Headers of every 200.
HEADERS = {
    "X-Request-Id": {
        "description": "The caller's `X-Request-Id` if it is `[A-Za-z0-9._-]{1,128}`, else the trace id of "
        "its `traceparent`, else a new one.",
        "schema": {"type": "string"},
    },
    "X-Process-Time": {"description": "Seconds the request took.", "schema": {"type": "number"}},
    "Server-Timing": {
        "description": "Milliseconds that a database connection was held, and that the request took.",
        "schema": {"type": "string"},
    },
}
ETAG = {"ETag": {"description": "Changes whenever what is answered does.", "schema": {"type": "string"}}}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "ETag of the answer as the caller has it.",
    "schema": {"type": "string"},
}
# Problems that any operation on the database can answer with, and those of one that takes parameters.
DATABASE_PROBLEMS = (500, 503, 504)
QUERY_PROBLEMS = (422, *DATABASE_PROBLEMS)


class Keeping(Enum):
    """Whether answers of an operation are kept in memory."""

    NEVER = auto()
    # Where they may be shown without a look at the database, which costs as much as to read a row.
    UNSEEN = auto()
    ALWAYS = auto()


@dataclass(frozen=True, eq=False)
class Operation:
    """One method of a path, in which ``{key}`` stands for the key of a row.

    The view is given the body, the query and the key, of those that the operation takes. ``name`` is the
    operationId and the endpoint; ``text`` the summary and, after an empty line, the description.
    """

    method: str
    path: str
    name: str
    view: View
    text: str
    _: KW_ONLY
    # The right that its caller has to have.
    needs: Need
    body: BuildSchema | None = None
    query: BuildSchema | None = None
    # Parameters that no schema has, as OpenAPI describes them.
    parameters: Sequence[Mapping[str, Any]] = ()
    # What a 200 has: a document in JSON, other media types, and headers beside those of all.
    answer: BuildDocument | None = None
    media_types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answer_text: str = "OK"
    headers: Mapping[str, Any] = field(default_factory=dict)
    # Answers of other statuses that are no problems, as OpenAPI describes them, and statuses of problems.
    others: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    problems: Sequence[int] = QUERY_PROBLEMS
    keeping: Keeping = Keeping.NEVER
    # Whether a replica may answer, which shows what was a moment ago.
    may_lag: bool = False
    # What is done around the answer, whether that is read or from memory.
    around: Callable[[Answer], Response] | None = None
    # What serves requests that demand a version of the data, if not the same.
    demanding: "Operation | None" = None

    @cached_property
    def body_schema(self) -> Schema | None:
        """The schema of the body."""
        return self.body() if self.body else None

    @cached_property
    def query_schema(self) -> Schema | None:
        """The schema of the query parameters."""
        return self.query() if self.query else None
