"""Turns every exception into an error answer: the one table from exception to kind of problem.

Bodies follow RFC 9457, problem details for HTTP APIs: https://www.rfc-editor.org/rfc/rfc9457
"""

import logging
import random
import uuid
from collections.abc import Mapping
from types import MappingProxyType

import psycopg
import psycopg_pool
from flask import Flask, Response, g
from psycopg import errors
from werkzeug.exceptions import HTTPException

from lakebase_api.http import problem_types as kinds
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.problem_types import ProblemType
from lakebase_api.lakebase.database import OutcomeUnknown
from lakebase_api.lakebase.dedicated import LimitReached
from lakebase_api.lakebase.findings import STATUS_CHANGES
from lakebase_api.lakebase.pool import DatabaseUnavailable, DeadlineExceeded
from lakebase_api.lakebase.setup_faults import NotSetUp
from lakebase_api.sql.change_request import ValueNotTaken

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

# What an answer lists of all that is wrong with a request, and the characters it has of a text, which may be
# the caller's: an answer is never much larger than what was sent.
MOST_LISTED = 20
GREATEST_TEXT = 300
GREATEST_DETAIL = 1000

# Classes of SQLSTATE that say that the server cannot serve for now: its connections, its resources, its
# operator, its storage. psycopg has others among its operational errors, such as a limit of PostgreSQL that a
# statement exceeds. Without a SQLSTATE it is the connection that was lost.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
OUTAGES = ("08", "53", "57", "58")

# The most specific class of an exception decides.
DATABASE_PROBLEMS: dict[type[Exception], ProblemType] = {
    DatabaseUnavailable: kinds.DATABASE_UNAVAILABLE,
    psycopg.OperationalError: kinds.DATABASE_UNAVAILABLE,
    errors.ReadOnlySqlTransaction: kinds.DATABASE_UNAVAILABLE,
    psycopg_pool.PoolClosed: kinds.DATABASE_UNAVAILABLE,
    psycopg_pool.PoolTimeout: kinds.POOL_EXHAUSTED,
    psycopg_pool.TooManyRequests: kinds.POOL_EXHAUSTED,
    LimitReached: kinds.EXPORTS_BUSY,
    DeadlineExceeded: kinds.DEADLINE,
    OutcomeUnknown: kinds.OUTCOME_UNKNOWN,
    errors.QueryCanceled: kinds.DEADLINE,
    ValueNotTaken: kinds.INVALID,
    errors.SerializationFailure: kinds.CONFLICT,
    errors.DeadlockDetected: kinds.CONFLICT,
    errors.LockNotAvailable: kinds.CONFLICT,
    errors.InsufficientPrivilege: kinds.NOT_SET_UP,
    errors.UndefinedTable: kinds.NOT_SET_UP,
    errors.UndefinedColumn: kinds.NOT_SET_UP,
    errors.InvalidSchemaName: kinds.NOT_SET_UP,
}

HTTP_PROBLEMS: dict[int, ProblemType] = {
    kind.status: kind
    for kind in (
        kinds.MALFORMED,
        kinds.NOT_FOUND,
        kinds.METHOD_NOT_ALLOWED,
        kinds.REQUEST_TIMEOUT,
        kinds.TOO_LARGE,
        kinds.UNSUPPORTED_MEDIA_TYPE,
        kinds.INVALID,
        kinds.INTERNAL,
    )
}


class Problem(HTTPException):
    """Ends the request with a problem answer.

    ``detail`` is for the client to read, ``etag`` the order's current one, ``retry_after`` the seconds to
    wait if they are known better than by the kind. An HTTPException, so that it may also be raised while the
    path is matched.
    """

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        invalid: list[dict[str, str]] | None = None,
        etag: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = kind.status
        self.kind = kind
        self.detail = detail
        self.invalid = invalid or []
        self.etag = etag
        self.retry_after = retry_after


def register_problems(app: Flask) -> None:
    """Answer every error of the app with a problem."""
    for exception in DATABASE_PROBLEMS:
        app.register_error_handler(exception, _answer_database_fault)
    app.register_error_handler(NotSetUp, _answer_not_set_up)
    app.register_error_handler(Problem, _answer_problem)
    app.register_error_handler(HTTPException, _answer_http_exception)


def _is_outage(error: Exception) -> bool:
    state = error.sqlstate if isinstance(error, psycopg.OperationalError) else None
    return state is None or state.startswith(OUTAGES)


def _most_specific(exception: type[Exception]) -> ProblemType | None:
    known = (DATABASE_PROBLEMS[base] for base in exception.__mro__ if base in DATABASE_PROBLEMS)
    return next(known, None)


def log_fault(error: Exception, what: str, *, extra: dict[str, str]) -> None:
    """Log what ended an answer on its way, as problems are logged: a bug with its traceback."""
    if isinstance(error, NotSetUp):
        _log_not_set_up(error, extra)
    elif _is_bug(error):
        logger.error("%s: %s", what, type(error).__name__, exc_info=error, extra=extra)
    else:
        _log_database_fault(error, extra)


def _is_bug(error: Exception) -> bool:
    kind = _most_specific(type(error))
    return kind is None or (kind is kinds.DATABASE_UNAVAILABLE and not _is_outage(error))


def _answer_database_fault(error: Exception) -> Response:
    kind = _most_specific(type(error))
    if kind is None or _is_bug(error):
        raise error  # for Flask to answer and log as a bug
    _log_database_fault(error)
    return build_response(kind)


def _log_database_fault(error: Exception, extra: dict[str, str] | None = None) -> None:
    cause = error.__cause__ or error
    told = next(iter(str(cause).splitlines()), "")
    logger.warning("%s: %s", type(error).__name__, told, extra=extra)


def _log_not_set_up(error: NotSetUp, extra: dict[str, str] | None = None) -> None:
    for check in error.checks:
        logger.error("Not set up: %s", check.line, extra=extra)


def _answer_not_set_up(error: NotSetUp) -> Response:
    _log_not_set_up(error)
    first = error.checks[0]
    if not first.is_of_changes:
        return build_response(kinds.NOT_SET_UP)
    others = (
        f"The tables that keep changes of {first.table} are missing, or not granted to the service's role."
    )
    return build_response(kinds.CHANGES_NOT_SET_UP, "" if first.name == STATUS_CHANGES else others)


def _answer_problem(problem: Problem) -> Response:
    response = build_response(problem.kind, problem.detail, invalid=problem.invalid)
    if problem.etag:
        response.set_etag(problem.etag)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    kind = HTTP_PROBLEMS.get(status) or ProblemType("", status, error.name, error.name, "")
    response = build_response(kind)
    if allowed := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def shorten(text: str, most: int = GREATEST_TEXT) -> str:
    """The text, cut if it has more than so many characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def build_response(
    kind: ProblemType,
    detail: str = "",
    *,
    invalid: list[dict[str, str]] | None = None,
    beside: Mapping[str, object] = MappingProxyType({}),
) -> Response:
    """A problem answer: status, body and headers as the kind says; ``beside`` are members of its own."""
    body: dict[str, object] = {
        "type": kind.path,
        "title": kind.title,
        "status": kind.status,
        "detail": shorten(detail, GREATEST_DETAIL) or kind.meaning,
        "instance": f"urn:uuid:{uuid.uuid4()}",
        "request_id": g.exchange.request_id,
        **beside,
    }
    if invalid:
        body["errors"] = [
            {**item, "name": shorten(item["name"]), "detail": shorten(item["detail"])}
            for item in invalid[:MOST_LISTED]
        ]
        if len(invalid) > MOST_LISTED:
            body["errors_omitted"] = len(invalid) - MOST_LISTED
    g.exchange.problem = kind.slug or "other"
    response = answer_json(body, kind.status, content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if kind.retry_after is not None:
        # Clients that obey would otherwise come back together as they were refused together.
        response.headers["Retry-After"] = str(random.randint(kind.retry_after, 2 * kind.retry_after))
    return response
