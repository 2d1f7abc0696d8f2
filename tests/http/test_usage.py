"""Who called what, how often and how much: that it adds up, who is told, and in which forms."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from lakebase_api.app import get_service
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.orders.changing import assert_problem, read, set_status
from tests.waiting import PATIENCE, wait_until

RIGHTS = """
[roles]
reader = ["orders:read", "orders:export"]
writer = ["orders:read", "orders:change"]
auditor = ["service:audit"]
watcher = ["service:observe"]
[callers]
ada = ["reader"]
"=ben" = ["writer"]
olga = ["auditor"]
wanda = ["watcher"]
"""
ADA, BEN, OLGA, WANDA = ({"X-Forwarded-User": name} for name in ("ada", "=ben", "olga", "wanda"))
COUNT = "SELECT sum(requests)::integer FROM lakebase_api.usage"


@pytest.fixture
def environment(database: OrdersDatabase, tmp_path: Path) -> dict[str, str]:
    """The settings of an app with two callers and an auditor."""
    file = tmp_path / "rights.toml"
    file.write_text(RIGHTS)
    return {**database.environment, "TRUST_FORWARDED_IDENTITY": "true", "RIGHTS_FILE": str(file)}


@pytest.fixture
def app(environment: dict[str, str], open_app: AppOpener) -> Flask:
    """An app with them."""
    return open_app(environment)


def write(app: Flask) -> None:
    """Have written what was counted."""
    get_service(app).usage.close()


def tell(app: Flask, query: str = "") -> dict[str, Any]:
    """What an auditor is told."""
    told: dict[str, Any] = read(app.test_client(), f"/usage{query}", OLGA)
    return told


def find(app: Flask, caller: str) -> dict[str, Any]:
    """The row of a caller."""
    [row] = [row for row in tell(app)["usage"] if row["caller"] == caller]
    return dict(row)


def test_requests_rows_and_bytes_are_told_by_caller_before_and_after_they_are_written(app: Flask) -> None:
    client = app.test_client()
    sizes = [
        len(client.get(path, headers=ADA).data)
        for path in (
            "/orders/7",
            "/orders/stream?page_size=20",
            "/orders?keys=1,2,3",
            "/orders/sample",
            "/orders/8",
        )
    ]
    told = find(app, "ada")
    assert (told["requests"], told["errors"], told["rows"]) == (5, 1, 1 + 20 + 3 + 5)
    assert told["bytes"] == sum(sizes)
    assert told["mean_seconds"] > 0
    # A unit each, and one for each 100 rows of a list.
    assert told["cost"] == pytest.approx(5 + 0.28)
    write(app)
    assert find(app, "ada") == told
    client.get("/orders/7", headers=ADA)
    assert find(app, "ada")["requests"] == 6
    assert tell(app)["kept"] == "database"


def test_an_export_counts_all_that_was_sent(app: Flask) -> None:
    with app.test_client().get("/orders/export?o_custkey=370", headers=ADA) as answer:
        body = answer.get_data(as_text=True)
    told = find(app, "ada")
    rows = len(body.splitlines()) - 1
    assert (told["requests"], told["rows"], told["bytes"]) == (1, rows, len(body))
    assert told["cost"] == pytest.approx(1 + rows / 100, abs=0.005)


def test_changes_count_the_rows_that_they_are_of(app: Flask) -> None:
    client = app.test_client()
    assert set_status(client, 1, "F", BEN).status_code == 200
    items = [{"o_orderkey": key, "o_orderstatus": "F"} for key in (2, 3, 4)]
    assert client.post("/orders/status", json=items, headers=BEN).status_code == 200
    assert find(app, "=ben")["rows"] == 4


def test_it_is_told_by_route_with_the_paths_of_the_document(app: Flask) -> None:
    client = app.test_client()
    for path in ("/orders/7", "/orders/1", "/orders/7/history", "/nothing/here"):
        client.get(path, headers=ADA)
    rows = tell(app, "?by=route")["usage"]
    assert [(row["route"], row["table"], row["requests"], row["errors"]) for row in rows] == [
        ("/orders/{order_key}", "orders", 2, 0),
        ("", None, 1, 1),
        ("/orders/{order_key}/history", "orders", 1, 1),
    ]
    assert {row["method"] for row in rows} == {"GET"}


def test_it_is_told_by_table_and_hour(app: Flask, database: OrdersDatabase) -> None:
    read(app.test_client(), "/orders/7", ADA)
    write(app)
    database.execute("UPDATE lakebase_api.usage SET hour = hour - interval '2 hours'")
    read(app.test_client(), "/orders/7", ADA)
    told = tell(app, "?by=table&per=hour")["usage"]
    assert [(row["table"], row["requests"]) for row in told] == [("orders", 1), ("orders", 1)]
    assert told[0]["hour"] < told[1]["hour"]
    [row] = [row for row in tell(app, "?by=table")["usage"] if row["table"] == "orders"]
    assert row["requests"] == 2


def test_the_last_24_hours_are_told_unless_others_are_asked_for(app: Flask, database: OrdersDatabase) -> None:
    read(app.test_client(), "/orders/7", ADA)
    write(app)
    database.execute("UPDATE lakebase_api.usage SET hour = '2026-01-02T10:00:00Z'")
    assert "ada" not in [row["caller"] for row in tell(app)["usage"]]
    told = tell(app, "?from=2026-01-02T10:59:00Z&to=2026-01-02T12:00:00%2B01:00")
    assert (told["from"], told["to"]) == ("2026-01-02T10:00:00Z", "2026-01-02T11:00:00Z")
    assert [row["caller"] for row in told["usage"]] == ["ada"]
    for empty in ("?to=2026-01-02T10:00:00Z", "?from=2026-01-02T12:00:00Z&to=2026-01-02T09:00:00Z"):
        assert tell(app, empty)["usage"] == []
    told = tell(app, "?to=2026-01-02T10:00:01Z")
    assert (told["from"], told["to"]) == ("2026-01-01T11:00:00Z", "2026-01-02T11:00:00Z")
    assert len(told["usage"]) == 1


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("from=yesterday", "from"),
        ("to=2026-01-02", "to"),
        ("from=infinity", "from"),
        ("to=20260-01-02T00:00:00Z", "to"),
        ("by=row", "by"),
        ("per=day", "per"),
        ("format=xml", "format"),
        ("page=1", "page"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(app: Flask, query: str, name: str) -> None:
    answer = app.test_client().get(f"/usage?{query}", headers=OLGA)
    assert_problem(answer, 422, "invalid-request")
    assert answer.json is not None
    assert [(error["in"], error["name"]) for error in answer.json["errors"]] == [("query", name)]


@pytest.mark.parametrize("asked", ["format=csv", ""])
def test_it_is_told_as_csv_in_which_no_caller_is_a_formula(app: Flask, asked: str) -> None:
    client = app.test_client()
    client.get("/orders/7", headers=ADA)
    client.get("/orders/7", headers=BEN)
    client.get("/orders/7", headers=BEN)
    accept = {} if asked else {"Accept": "text/csv"}
    answer = client.get(f"/usage?{asked}", headers={**OLGA, **accept})
    assert answer.content_type == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["caller"], row["requests"], row["rows"]) for row in rows] == [
        ("'=ben", "2", "2"),
        ("ada", "1", "1"),
    ]
    assert float(rows[0]["mean_seconds"]) > 0


def test_probes_and_documentation_are_not_counted_and_strangers_are_one(app: Flask) -> None:
    client = app.test_client()
    for path in ("/livez", "/readyz", "/health", "/openapi.json", "/docs", "/problems/forbidden"):
        assert client.get(path).status_code == 200
    for number in range(50):
        assert_problem(client.get(f"/made/up/{number}"), 401, "unauthenticated")
    assert [(row["caller"], row["requests"]) for row in tell(app)["usage"]] == [("anonymous", 50)]


def test_who_watches_the_service_is_not_counted(app: Flask) -> None:
    for path in ("/status", "/status.json", "/metrics", "/"):
        assert app.test_client().get(path, headers=WANDA).status_code == 200
    assert tell(app)["usage"] == []


def test_it_is_for_those_with_the_right_to_the_audit(app: Flask) -> None:
    answer = app.test_client().get("/usage", headers=ADA)
    assert_problem(answer, 403, "forbidden")
    assert 'scope="service:audit"' in answer.headers["WWW-Authenticate"]


def test_apps_that_write_the_same_hour_add_up(
    environment: dict[str, str], database: OrdersDatabase, open_app: AppOpener
) -> None:
    apps = [open_app(environment) for _ in range(2)]
    for turn in range(3):
        for app in apps:
            for _ in range(turn + 1):
                read(app.test_client(), "/orders/7", ADA)
            write(app)
    assert database.execute(f"{COUNT} WHERE subject = 'ada'") == [(12,)]
    for app in apps:
        assert find(app, "ada")["requests"] == 12


def test_a_write_that_fails_loses_and_doubles_nothing(app: Flask, database: OrdersDatabase) -> None:
    client = app.test_client()
    read(client, "/orders/7", ADA)
    database.execute("ALTER TABLE lakebase_api.usage RENAME TO away")
    write(app)
    read(client, "/orders/7", ADA)
    database.execute("ALTER TABLE lakebase_api.away RENAME TO usage")
    write(app)
    write(app)
    assert database.execute(f"{COUNT} WHERE subject = 'ada'") == [(2,)]


def test_where_the_service_may_not_write_it_is_kept_in_memory_and_says_so(
    environment: dict[str, str],
    database: OrdersDatabase,
    open_app: AppOpener,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {ROLE}")
    app = open_app(environment)
    for _ in range(3):
        read(app.test_client(), "/orders/7", ADA)
        write(app)
    told = tell(app)
    assert (told["kept"], [row["requests"] for row in told["usage"] if row["caller"] == "ada"]) == (
        "memory",
        [3],
    )
    assert sum(record.name == "lakebase_api.telemetry.usage" for record in caplog.records) == 1


def test_a_role_that_may_only_read_the_table_keeps_it_in_memory(app: Flask, database: OrdersDatabase) -> None:
    read(app.test_client(), "/orders/7", ADA)
    database.execute(
        "ALTER TABLE lakebase_api.usage OWNER TO current_user; "
        f"REVOKE ALL ON lakebase_api.usage FROM {ROLE}; GRANT SELECT ON lakebase_api.usage TO {ROLE}"
    )
    write(app)
    assert tell(app)["kept"] == "memory"
    assert find(app, "ada")["requests"] == 1


def test_the_document_has_the_right_and_both_forms(app: Flask) -> None:
    [operation] = read(app.test_client(), "/openapi.json")["paths"]["/usage"].values()
    assert operation["security"] == [{"bearer": ["service:audit"]}]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert names == ["by", "from", "to", "per", "format"]


def test_any_worker_tells_what_all_have_counted_and_the_last_is_written_as_they_end(
    environment: dict[str, str], database: OrdersDatabase, start_gunicorn: Any
) -> None:
    server: GunicornProcess = start_gunicorn({**environment, "WEB_CONCURRENCY": "2"}).wait_until_started()
    for _ in range(20):
        # A connection of its own each, so that both workers are met.
        assert server.get("/orders/7", Connection="close", **ADA).status_code == 200

    def count_told() -> int:
        told = json.loads(server.get("/usage", Connection="close", **OLGA).content)
        return sum(row["requests"] for row in told["usage"] if row["caller"] == "ada")

    wait_until(lambda: count_told() == 20)
    server.process.terminate()
    server.process.wait(PATIENCE)
    assert database.execute(f"{COUNT} WHERE subject = 'ada'") == [(20,)]
