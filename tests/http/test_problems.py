"""Every kind of error on the real handlers, reached through throw-away routes and the real database."""

import json
import logging
import re
import uuid
from collections.abc import Callable

import psycopg
import psycopg_pool
import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from psycopg import errors
from werkzeug.test import TestResponse

from lakebase_api.app import get_service
from lakebase_api.http.problem_types import list_problem_types
from lakebase_api.lakebase.database import OutcomeUnknown
from lakebase_api.lakebase.pool import DatabaseUnavailable, DeadlineExceeded
from tests.conftest import AppOpener, OrdersDatabase
from tests.waiting import wait_until

USAGE = 'GRANT USAGE ON SCHEMA "public" TO "orders_app";'
SELECT = 'GRANT SELECT ON "public"."orders_synced" TO "orders_app";'
MEMBERS = ["type", "title", "status", "detail", "instance", "request_id"]
SECRETIVE = "connection to server at db.internal failed: SELECT secret FROM hunter2"


def assert_problem(answer: TestResponse, status: int, kind: str) -> None:
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    body = json.loads(answer.data, object_pairs_hook=dict)
    assert list(body)[:6] == MEMBERS
    assert body["type"] == f"/problems/{kind}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert uuid.UUID(body["instance"].removeprefix("urn:uuid:"))
    assert body["request_id"] == answer.headers["X-Request-Id"]


@pytest.fixture
def app(unchanged_database: OrdersDatabase, open_app: AppOpener) -> Flask:
    return open_app(unchanged_database.environment)


def fail_with(app: Flask, error: Exception) -> TestResponse:
    def fail() -> str:
        raise error

    app.add_url_rule("/fail", view_func=fail)
    return app.test_client().get("/fail")


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_after"),
    [
        (DatabaseUnavailable(SECRETIVE), 503, "database-unavailable", 2),
        (psycopg.OperationalError(SECRETIVE), 503, "database-unavailable", 2),
        (errors.AdminShutdown(SECRETIVE), 503, "database-unavailable", 2),
        (errors.TooManyConnections(SECRETIVE), 503, "database-unavailable", 2),
        (errors.CannotConnectNow(SECRETIVE), 503, "database-unavailable", 2),
        (errors.ConnectionFailure(SECRETIVE), 503, "database-unavailable", 2),
        (errors.OutOfMemory(SECRETIVE), 503, "database-unavailable", 2),
        (errors.IoError(SECRETIVE), 503, "database-unavailable", 2),
        (errors.ReadOnlySqlTransaction(SECRETIVE), 503, "database-unavailable", 2),
        (psycopg_pool.PoolClosed(SECRETIVE), 503, "database-unavailable", 2),
        (psycopg_pool.PoolTimeout(SECRETIVE), 503, "pool-exhausted", 1),
        (psycopg_pool.TooManyRequests(SECRETIVE), 503, "pool-exhausted", 1),
        (errors.SerializationFailure(SECRETIVE), 503, "transaction-conflict", 1),
        (errors.DeadlockDetected(SECRETIVE), 503, "transaction-conflict", 1),
        (errors.LockNotAvailable(SECRETIVE), 503, "transaction-conflict", 1),
        (OutcomeUnknown(SECRETIVE), 503, "outcome-unknown", 2),
        (DeadlineExceeded(SECRETIVE), 504, "deadline-exceeded", None),
        (errors.QueryCanceled(SECRETIVE), 504, "deadline-exceeded", None),
        (errors.InsufficientPrivilege(SECRETIVE), 503, "database-not-set-up", None),
        (errors.UndefinedTable(SECRETIVE), 503, "database-not-set-up", None),
        (errors.UndefinedColumn(SECRETIVE), 503, "database-not-set-up", None),
        (errors.InvalidSchemaName(SECRETIVE), 503, "database-not-set-up", None),
        (errors.DataException(SECRETIVE), 500, "internal-error", None),
        (errors.UniqueViolation(SECRETIVE), 500, "internal-error", None),
        (errors.ProgramLimitExceeded(SECRETIVE), 500, "internal-error", None),
        (errors.StatementTooComplex(SECRETIVE), 500, "internal-error", None),
        (errors.ObjectNotInPrerequisiteState(SECRETIVE), 500, "internal-error", None),
        (errors.TriggeredDataChangeViolation(SECRETIVE), 500, "internal-error", None),
        (errors.FdwError(SECRETIVE), 500, "internal-error", None),
        (ZeroDivisionError(SECRETIVE), 500, "internal-error", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_fault_has_its_status_and_kind_and_tells_nothing(
    app: Flask, error: Exception, status: int, kind: str, retry_after: int | None
) -> None:
    answer = fail_with(app, error)
    assert_problem(answer, status, kind)
    assert ("Retry-After" in answer.headers) == (retry_after is not None)
    if retry_after:
        assert retry_after <= int(answer.headers["Retry-After"]) <= 2 * retry_after
    assert not re.search("hunter2|db.internal|SELECT|Traceback", answer.text)


def test_those_refused_together_are_not_told_to_come_back_together(app: Flask) -> None:
    fail_with(app, DatabaseUnavailable())
    answers = [app.test_client().get("/fail") for _ in range(100)]
    assert {answer.headers["Retry-After"] for answer in answers} == {"2", "3", "4"}


@pytest.mark.parametrize("kind", [ZeroDivisionError, errors.ProgramLimitExceeded])
def test_a_bug_is_logged_with_its_traceback(
    app: Flask, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    fail_with(app, kind("the bug"))
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info
    assert f"{kind.__name__}: the bug" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing-here", 404, "not-found"),
        ("GET", "/orders/1/", 404, "not-found"),
        ("GET", "//orders/count", 404, "not-found"),
        ("GET", "/api/v1/nothing-here", 404, "not-found"),
        ("GET", "/problems/unheard-of", 404, "not-found"),
        ("GET", "/docs/assets/nothing.js", 404, "not-found"),
        ("GET", "/docs/assets/../../app.py", 404, "not-found"),
        ("PUT", "/orders/1/status", 405, "method-not-allowed"),
        ("GET", "/orders/1/status", 405, "method-not-allowed"),
        ("PATCH", "/orders/count", 405, "method-not-allowed"),
        ("GET", "/orders/status", 405, "method-not-allowed"),
        ("TRACE", "/orders/1", 405, "method-not-allowed"),
        ("NONSENSE", "/orders/1", 405, "method-not-allowed"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(
    reader: FlaskClient, method: str, path: str, status: int, kind: str
) -> None:
    answer = reader.open(path, method=method)
    assert_problem(answer, status, kind)
    if status == 405:
        assert answer.headers["Allow"]


def test_an_error_of_another_status_is_a_problem_too(app: Flask) -> None:
    app.add_url_rule("/teapot", view_func=lambda: abort(418))
    body = app.test_client().get("/teapot").json
    assert body is not None
    assert (body["type"], body["title"], body["status"]) == ("about:blank", "I'm a teapot", 418)


def test_an_invalid_parameter_is_listed_as_the_contract_shows(reader: FlaskClient) -> None:
    answer = reader.get("/orders/pages?page_size=0")
    assert_problem(answer, 422, "invalid-request")
    assert answer.json is not None
    assert answer.json["title"] == "Unprocessable Content"
    assert answer.json["detail"] == "page_size: Must be between 1 and 1000."
    assert answer.json["errors"] == [
        {"in": "query", "name": "page_size", "detail": "Must be between 1 and 1000."}
    ]


def test_each_kind_has_a_page(reader: FlaskClient) -> None:
    service = get_service(reader.application)
    kinds = list_problem_types([*service.tables, service.audit_table])
    for kind in kinds.values():
        page = reader.get(kind.path).json
        assert page is not None
        assert page["status"] == kind.status
        assert page["meaning"]
        assert page["what_to_do"]
    listed = reader.get("/problems").json
    assert listed is not None
    assert [page["type"] for page in listed["problems"]] == [kind.path for kind in kinds.values()]


Breaker = Callable[[OrdersDatabase], None]


@pytest.mark.parametrize(
    ("statement", "said", "part"),
    [
        ("REVOKE SELECT ON orders_synced FROM orders_app", SELECT, "a grant is missing"),
        ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", USAGE, "a grant is missing"),
        (
            "DROP TABLE orders_synced",
            "Correct DEFAULT_POSTGRES_SCHEMA and DEFAULT_POSTGRES_TABLE",
            "the table is missing",
        ),
        (
            "ALTER TABLE orders_synced DROP COLUMN o_comment",
            "must be as tables.toml declares it",
            "the table has other columns",
        ),
    ],
)
def test_a_missing_grant_or_table_is_answered_and_the_log_has_the_sql_that_mends_it(
    database: OrdersDatabase,
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    said: str,
    part: str,
) -> None:
    database.execute(statement)
    answer = client.get("/orders/1")
    assert_problem(answer, 503, "database-not-set-up")
    assert said in caplog.text
    ready = client.get("/readyz?verbose")
    assert ready.status_code == 200
    assert ready.json is not None
    assert ready.json["parts"]["table"] == part


def test_the_sql_in_the_log_mends_a_missing_grant(
    database: OrdersDatabase, open_app: AppOpener, caplog: pytest.LogCaptureFixture
) -> None:
    client = open_app({**database.environment, "STATUS_WRITES": "direct"}).test_client()
    assert client.get("/orders/1").status_code == 200
    database.execute("REVOKE ALL ON orders_synced FROM orders_app")
    database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    assert client.get("/orders/1").status_code == 503
    assert client.post("/orders/1/status", json={"o_orderstatus": "F"}).status_code == 503
    for statement in re.findall(r"GRANT [^;]*;", caplog.text):
        database.execute(statement)
    assert client.get("/orders/1").status_code == 200
    assert client.post("/orders/1/status", json={"o_orderstatus": "F"}).status_code == 200


def test_a_statement_that_takes_too_long_is_answered_and_its_connection_serves_on(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app({**database.environment, "DB_COMMAND_TIMEOUT": "0.5"}).test_client()
    wait_until(lambda: client.get("/orders/1").status_code == 200)
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        assert_problem(client.get("/orders/1"), 504, "deadline-exceeded")
    wait_until(lambda: client.get("/orders/1").status_code == 200)
