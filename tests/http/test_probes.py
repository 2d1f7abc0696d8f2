from datetime import datetime

import pytest
from flask.testing import FlaskClient

from lakebase_api.lakebase import pool
from tests.conftest import AppOpener, OrdersDatabase, make_app
from tests.fault_proxy import FaultProxy
from tests.waiting import wait_until


def test_health_says_healthy_and_the_time(reader: FlaskClient) -> None:
    answer = reader.get("/health")
    assert answer.json is not None
    assert answer.json["status"] == "healthy"
    assert datetime.fromisoformat(answer.json["timestamp"]).tzinfo
    assert answer.headers["Cache-Control"] == "no-store"


def test_probes_answer_without_a_database(open_app: AppOpener) -> None:
    nowhere = {"PGHOST": "127.0.0.1", "PGPORT": "9", "PGUSER": "ann", "PGPASSWORD": "pw"}
    client = open_app(nowhere).test_client()
    assert client.get("/livez").json == {"status": "alive"}
    assert client.get("/health").status_code == 200


def test_probes_send_no_sql(database: OrdersDatabase, open_app: AppOpener) -> None:
    environment = {**database.environment, "PGAPPNAME": "probed", "DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
    client = open_app(environment).test_client()
    assert client.get("/orders/1").status_code == 200
    activity = "SELECT query, query_start FROM pg_stat_activity WHERE application_name = 'probed'"
    before = database.execute(activity)
    for path in ("/health", "/livez", "/readyz", "/readyz?verbose"):
        assert client.get(path).status_code == 200
    assert database.execute(activity) == before
    assert len(before) == 1


def test_a_service_that_has_not_connected_yet_is_ready(unchanged_database: OrdersDatabase) -> None:
    client = make_app(unchanged_database.environment).test_client()
    assert client.get("/readyz").json == {"status": "ready"}


def test_a_database_that_refused_the_last_connect_is_not_ready(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    environment = {**unchanged_database.environment, "PGPASSWORD": "wrong", "WAKE_BUDGET": "0"}
    client = open_app(environment).test_client()
    assert client.get("/orders/1").status_code == 503
    answer = client.get("/readyz?verbose")
    assert answer.status_code == 503
    assert answer.json is not None
    assert {name: answer.json[name] for name in ("status", "parts")} == {
        "status": "not ready",
        "parts": {"token": "ok", "database": "the login was refused", "draining": "ok", "table": "ok"},
    }
    assert client.get("/readyz").json == {"status": "not ready"}


def test_who_is_asked_by_nobody_since_it_is_not_ready_is_ready_again_after_a_while(
    database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(database.server.port) as network:
        environment = {**database.environment, "PGPORT": str(network.port), "WAKE_BUDGET": "0"}
        network.refuse()
        client = open_app(environment).test_client()
        assert client.get("/orders/1").status_code == 503
        assert client.get("/readyz").status_code == 503
        network.heal()
        # As long as it goes on trying, which it then does no more.
        monkeypatch.setattr(pool, "PATIENCE", 0.0)
        assert client.get("/readyz").status_code == 200
        wait_until(lambda: client.get("/orders/1").status_code == 200)


@pytest.mark.parametrize("query", ["verbose=1", "verbose", "verbose="])
def test_verbose_may_have_any_value_or_none(reader: FlaskClient, query: str) -> None:
    answer = reader.get(f"/readyz?{query}")
    assert answer.json is not None
    assert answer.json["parts"] == {"token": "ok", "database": "ok", "draining": "ok", "table": "ok"}
