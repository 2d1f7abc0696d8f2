"""What was done that no history has: that it is kept, by whom it is read, and what it never has."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from lakebase_api.access.audit import StartRecord
from lakebase_api.app import get_service
from lakebase_api.sql.audit_table import AuditAction, Event
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem, read

RIGHTS = """
[roles]
reader = ["orders:read", "orders:export"]
auditor = ["service:audit"]
[callers]
ada = ["reader"]
olga = ["auditor"]
"""
ADA, OLGA = {"X-Forwarded-User": "ada", "X-Forwarded-Email": "ada@example.com"}, {"X-Forwarded-User": "olga"}
FORBIDDEN = "/orders/7/history"


@pytest.fixture
def app(database: OrdersDatabase, open_app: AppOpener, tmp_path: Path) -> Flask:
    """An app with a reader and an auditor."""
    file = tmp_path / "rights.toml"
    file.write_text(RIGHTS)
    rights = {"TRUST_FORWARDED_IDENTITY": "true", "RIGHTS_FILE": str(file)}
    return open_app({**database.environment, **rights})


def write_all(app: Flask) -> None:
    """Have everything written that waits for it."""
    get_service(app).audit.close()


def list_events(app: Flask, query: str = "") -> list[dict[str, Any]]:
    """What an auditor is told, the newest first."""
    write_all(app)
    events: list[dict[str, Any]] = read(app.test_client(), f"/audit{query}", OLGA)["audit"]
    return events


def count_warnings(caplog: pytest.LogCaptureFixture) -> int:
    """How often the log says that nothing can be written."""
    return sum(record.name == "lakebase_api.access.audit" for record in caplog.records)


def test_an_export_is_kept_with_who_made_it_its_rows_and_how_it_ended(app: Flask) -> None:
    path = "/orders/export?o_custkey=370&o_orderdate_from=1996-01-01"
    with app.test_client().get(path, headers={**ADA, "X-Request-Id": "mine"}) as answer:
        answer.get_data()
    rows = len(answer.get_data(as_text=True).splitlines()) - 1
    [event] = list_events(app, "?action=export")
    assert rows > 0
    assert {
        name: event[name] for name in ("subject", "label", "method", "table_name", "rows", "request_id")
    } == {
        "subject": "ada",
        "label": "ada@example.com",
        "method": "proxy",
        "table_name": "orders",
        "rows": rows,
        "request_id": "mine",
    }
    detail = event["detail"]
    assert detail.pop("digest")
    assert detail == {
        "filters": ["o_custkey", "o_orderdate_from"],
        "format": "csv",
        "outcome": "complete",
        "bytes": len(answer.get_data()),
    }
    assert not {"370", "1996-01-01"} & set(json.dumps(event).replace('"', " ").split())


def test_the_digest_is_the_same_for_the_same_values_alone(app: Flask) -> None:
    for custkeys in ("370&o_custkey=371", "370&o_custkey=371", "372"):
        with app.test_client().get(f"/orders/export?o_custkey={custkeys}", headers=ADA) as answer:
            answer.get_data()
    digests = [event["detail"]["digest"] for event in list_events(app, "?action=export")]
    assert digests[0] != digests[1] == digests[2]


def test_an_export_whose_client_goes_away_is_kept_as_such(app: Flask) -> None:
    answer = app.test_client().get("/orders/export?format=ndjson", headers=ADA)
    answer.close()
    [event] = list_events(app, "?action=export")
    assert event["detail"]["outcome"] == "the client is gone"


def test_refusals_are_kept_without_what_was_asked_for(app: Flask) -> None:
    client = app.test_client()
    assert_problem(client.get(FORBIDDEN, headers=ADA), 403, "forbidden")
    assert_problem(client.get("/orders/7"), 401, "unauthenticated")
    unknown, forbidden = list_events(app, "?action=refusal")
    assert [unknown[name] for name in ("subject", "method", "status", "table_name")] == [
        "anonymous",
        None,
        401,
        "orders",
    ]
    assert [forbidden[name] for name in ("subject", "method", "status")] == ["ada", "proxy", 403]
    assert forbidden["detail"] == {"method": "GET", "operation": "get_order_history"}


def test_each_start_is_kept_once_with_the_settings_but_no_secret(
    app: Flask, database: OrdersDatabase
) -> None:
    read(app.test_client(), "/orders/7", ADA)
    [event] = list_events(app, "?action=start")
    assert event["detail"]["settings"]["PGPASSWORD"] == "(set)"
    assert event["detail"]["settings"]["PGDATABASE"] == database.name
    assert database.environment["PGPASSWORD"] not in json.dumps(event)


def test_the_workers_of_a_server_keep_one_start(app: Flask, database: OrdersDatabase) -> None:
    read(app.test_client(), "/orders/7", ADA)
    event = Event(AuditAction.START, "service", request_id="of one server")
    with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as connection:
        failed: list[Event] = []
        for _ in range(3):
            StartRecord("lakebase_api", event, failed.append).write(connection)
    assert failed == []
    assert len(list_events(app, "?request_id=of%20one%20server")) == 1


def test_an_app_that_may_not_make_the_table_serves_all_else(
    database: OrdersDatabase, open_app: AppOpener, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {ROLE}")
    app = open_app(database.environment)
    for _ in range(2):
        assert app.test_client().get("/orders/7").status_code == 200
        write_all(app)
    assert count_warnings(caplog) == 1
    assert database.execute("SELECT FROM pg_namespace WHERE nspname = 'lakebase_api'") == []


def test_the_audit_is_for_those_with_the_right_to_it(app: Flask) -> None:
    for path in ("/audit", "/audit/stream", "/audit/pages", "/audit/count", "/audit/export", "/audit/1"):
        answer = app.test_client().get(path, headers=ADA)
        assert_problem(answer, 403, "forbidden")
        assert 'scope="service:audit"' in answer.headers["WWW-Authenticate"]
        assert app.test_client().get(path, headers=OLGA).status_code == 200


def test_it_is_told_newest_first_in_pages_and_by_time_caller_table_and_action(app: Flask) -> None:
    client = app.test_client()
    for number in range(5):
        client.get(FORBIDDEN, headers={**ADA, "X-Request-Id": f"r{number}"})
    write_all(app)
    found, path = (
        [],
        "/audit?page_size=2&subject=ada&table_name=orders&action=refusal&at_from=2026-01-01T00:00:00Z",
    )
    while path:
        page = read(client, path, OLGA)
        found += [event["request_id"] for event in page["audit"]]
        path = page["links"]["next"]
    assert found == ["r4", "r3", "r2", "r1", "r0"]
    assert read(client, "/audit?at_to=2026-01-01T00:00:00Z", OLGA)["audit"] == []
    assert read(client, "/audit/count?status=403&accuracy=exact", OLGA)["total_audit"] == 5
    exported = client.get("/audit/export?format=ndjson&trailer=false&subject=ada", headers=OLGA)
    assert [json.loads(line)["request_id"] for line in exported.text.splitlines()] == found[::-1]


def test_it_is_none_of_the_declared_tables(app: Flask) -> None:
    client = app.test_client()
    assert "audit" not in read(client, "/", OLGA)["links"]
    assert read(client, "/me", OLGA)["rights"] == ["service:audit"]
    assert "table audit" not in read(client, "/readyz?verbose")["parts"]


def test_the_document_names_the_right(app: Flask) -> None:
    paths = read(app.test_client(), "/openapi.json")["paths"]
    needs = {path: paths[path]["get"]["security"] for path in paths if path.startswith("/audit")}
    assert len(needs) == 6
    assert {json.dumps(each) for each in needs.values()} == {'[{"bearer": ["service:audit"]}]'}


def test_without_the_table_the_service_goes_on_and_says_so_once(
    app: Flask, database: OrdersDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    client = app.test_client()
    read(client, "/orders/7", ADA)
    database.execute("DROP TABLE lakebase_api.audit")
    for _ in range(3):
        with client.get("/orders/export?o_custkey=370", headers=ADA) as answer:
            assert answer.status_code == 200
        write_all(app)
    assert count_warnings(caplog) == 1
    assert_problem(client.get("/audit", headers=OLGA), 503, "database-not-set-up")
    assert client.get("/readyz").status_code == 200
