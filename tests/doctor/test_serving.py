"""What a running app logs, answers and tells of a database that is not set up for it."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.lakebase.connection import Connection
from tests.conftest import AppOpener
from tests.doctor.conftest import APP, Shop

NAMES = "SELECT|GRANT|orders_synced|orders_changes|5f2b|127.0.0.1|postgres"


def read_history(connection: Connection) -> str:
    connection.execute("SELECT FROM lakebase_api.orders_history")
    return "read"


def keep_key(connection: Connection) -> str:
    connection.execute("DELETE FROM lakebase_api.idempotency")
    return "kept"


@pytest.fixture
def open_client(shop: Shop, open_app: AppOpener) -> Callable[..., FlaskClient]:
    """An app with two operations more, on the tables of changes."""

    def open_one(**settings: str) -> FlaskClient:
        # The one connection has been reported on before it serves.
        one = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
        app: Flask = open_app({**shop.environment, **one, **settings})
        database = get_service(app).lakebase.database.for_table("orders")
        app.add_url_rule("/changes", "read", lambda: database.read(read_history))
        app.add_url_rule("/changes", "keep", lambda: database.write(keep_key), methods=["POST"])
        return app.test_client()

    return open_one


def tell(client: FlaskClient) -> str:
    """What the readiness probe tells of the table."""
    ready = client.get("/readyz?verbose")
    assert ready.status_code == 200
    assert ready.json is not None
    return str(ready.json["parts"]["table"])


def test_changes_that_are_not_granted_have_a_problem_of_their_own(
    shop: Shop, open_client: Callable[..., FlaskClient], caplog: pytest.LogCaptureFixture
) -> None:
    shop.set_up_for(APP)
    shop.execute(f'REVOKE SELECT ON lakebase_api.orders_history FROM "{APP}"')
    client = open_client()
    answer = client.get("/changes")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["type"] == "/problems/status-changes-not-set-up"
    assert "Retry-After" not in answer.headers
    assert not re.search(NAMES, answer.text)
    assert tell(client) == "a grant on the tables of status changes is missing"
    [statement] = set(re.findall("GRANT [^;]*;", caplog.text))
    shop.execute(statement)
    assert client.get("/changes").text == "read"
    assert tell(client) == "ok"


def test_what_only_changes_need_does_not_keep_from_reading(
    shop: Shop, open_client: Callable[..., FlaskClient]
) -> None:
    shop.set_up_for(APP)
    shop.execute(f'REVOKE DELETE ON lakebase_api.idempotency FROM "{APP}"')
    client = open_client()
    answer = client.post("/changes")
    assert answer.json is not None
    assert answer.json["type"] == "/problems/status-changes-not-set-up"
    assert client.get("/changes").status_code == 200
    assert client.get("/orders/1").status_code == 200
    assert tell(client) == "a grant on the tables of status changes is missing"


def test_a_table_that_is_not_granted_comes_before_the_changes(
    shop: Shop, open_client: Callable[..., FlaskClient]
) -> None:
    shop.set_up_for(APP)
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    shop.execute(f'REVOKE DELETE ON lakebase_api.idempotency FROM "{APP}"')
    answer = open_client().post("/changes")
    assert answer.json is not None
    assert answer.json["type"] == "/problems/database-not-set-up"
    assert not re.search(NAMES, answer.text)


def test_a_missing_update_grant_is_found_at_start_and_said_with_the_way_out(
    open_client: Callable[..., FlaskClient], caplog: pytest.LogCaptureFixture
) -> None:
    client = open_client(STATUS_WRITES="direct")
    assert client.get("/orders/1").status_code == 200
    assert "STATUS_WRITES=overlay" in caplog.text
    assert f'GRANT UPDATE (o_orderstatus) ON "public"."orders_synced" TO "{APP}";' in caplog.text
    assert tell(client) == "the grant to update the table is missing"


def test_a_key_without_a_unique_index_keeps_from_everything_until_there_is_one(
    shop: Shop, open_client: Callable[..., FlaskClient], caplog: pytest.LogCaptureFixture
) -> None:
    shop.execute("ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey")
    client = open_client()
    assert client.get("/orders/1").status_code == 503
    [record] = {
        (record.levelname, record.getMessage()) for record in caplog.records if "Not set up" in record.msg
    }
    assert record[0] == "ERROR"
    statement = 'CREATE UNIQUE INDEX CONCURRENTLY ON "public"."orders_synced" (o_orderkey)'
    assert f"{statement};" in record[1]
    assert tell(client) == "the key is not unique"
    shop.execute(statement)
    assert client.get("/orders/1").status_code == 200
    assert tell(client) == "ok"


def test_a_database_that_is_set_up_says_nothing_but_its_connections(
    open_client: Callable[..., FlaskClient], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = open_client()
    assert client.get("/orders/1").status_code == 200
    said = [record.getMessage() for record in caplog.records if record.name.endswith(".setup_logs")]
    assert [line.partition(":")[0] for line in said] == ["Connections"]
    assert tell(client) == "ok"
