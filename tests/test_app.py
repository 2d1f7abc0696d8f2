import socket
import threading

import pytest

from lakebase_api.app import create_app, get_service
from lakebase_api.environment import load_settings
from lakebase_api.table.loading import load_tables
from tests.conftest import AppOpener, OrdersDatabase, make_app
from tests.waiting import PATIENCE

LAKEBASE = {"LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e", "DATABRICKS_HOST": "http://127.0.0.1:9"}
STATIC = {"PGHOST": "127.0.0.1", "PGUSER": "nobody", "PGPASSWORD": "none", "PGPORT": "9"}


@pytest.mark.parametrize("environment", [LAKEBASE, STATIC], ids=["lakebase", "static"])
def test_creating_an_app_starts_no_thread_and_connects_nowhere(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(environment)
    tables = load_tables(settings)
    opened: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: opened.append(address))
    threads = set(threading.enumerate())
    create_app(settings, tables)
    assert set(threading.enumerate()) <= threads
    assert opened == []


def test_closing_an_app_leaves_no_thread(unchanged_database: OrdersDatabase) -> None:
    threads = set(threading.enumerate())
    app = make_app(unchanged_database.environment)
    get_service(app).open()
    assert app.test_client().get("/orders/1").status_code == 200
    get_service(app).close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= threads


def test_the_app_answers_at_both_bases(open_app: AppOpener, unchanged_database: OrdersDatabase) -> None:
    client = open_app(unchanged_database.environment).test_client()
    for path in ("/orders/7", "/health", "/livez", "/readyz", "/openapi.json", "/problems/not-found"):
        assert client.get(path).status_code == 200, path
        assert client.get(f"/api/v1{path}").status_code == 200, path
    assert client.get("/orders/7").json == client.get("/api/v1/orders/7").json


def test_cors_is_off_unless_configured(open_app: AppOpener, unchanged_database: OrdersDatabase) -> None:
    origin = {"Origin": "https://shop.example"}
    plain = open_app(unchanged_database.environment).test_client()
    assert "Access-Control-Allow-Origin" not in plain.get("/livez", headers=origin).headers
    allowing = open_app({**unchanged_database.environment, "CORS_ORIGINS": "https://shop.example"})
    answer = allowing.test_client().get("/livez", headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    other = allowing.test_client().get("/livez", headers={"Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_of_several_hosts_the_first_that_answers_is_taken(
    open_app: AppOpener, unchanged_database: OrdersDatabase
) -> None:
    hosts = f"/no/such/folder, {unchanged_database.server.host}"
    client = open_app({**unchanged_database.environment, "PGHOST": hosts}).test_client()
    assert client.get("/orders/1").status_code == 200
