"""What a connection has prepared and what became of it: seen by nobody who asks."""

import pytest
from flask import request
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.lakebase.connection import Connection
from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import changes_of, read, set_status, status_of

ONE_CONNECTION = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
# More than psycopg runs of a statement before it prepares it.
TIMES = 7
# What a pooler does that exchanges sessions, in a way that psycopg does not see.
EXCHANGES = {
    "another session": "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    "a session of somebody like us": "DO $$ BEGIN FOR n IN 0..50 LOOP BEGIN"
    " EXECUTE format('PREPARE _pg3_%s AS SELECT 1', n);"
    " EXCEPTION WHEN duplicate_prepared_statement THEN NULL; END; END LOOP; END $$",
}


@pytest.fixture
def client(database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app with one connection, on which it runs what is posted."""
    app = open_app({**database.environment, **ONE_CONNECTION})

    def run(connection: Connection) -> str:
        connection.execute(request.get_data())
        return "done"

    def post() -> str:
        return get_service(app).lakebase.database.read(run)

    app.add_url_rule("/run", "run", post, methods=["POST"])
    return app.test_client()


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
def test_a_session_without_what_was_prepared_serves_reads_and_changes(
    client: FlaskClient, exchange: str
) -> None:
    for n in range(TIMES):
        assert set_status(client, 1, "FO"[n % 2]).status_code == 200
    for n in range(3 * TIMES):
        assert client.post("/run", data=exchange).text == "done"
        assert set_status(client, 1, "PF"[n % 2]).status_code == 200
        assert status_of(client, 1) == "PF"[n % 2]
        assert len(read(client, f"/orders/stream?cursor={n}&page_size=3")["orders"]) == 3
    assert len(changes_of(client, 1)) == 4 * TIMES


def test_a_session_in_which_nothing_is_prepared_takes_time_limits(client: FlaskClient) -> None:
    hasty = {"X-Request-Timeout": "60"}
    for n in range(2 * TIMES):
        if n == TIMES:
            assert client.post("/run", data=EXCHANGES["another session"], headers=hasty).text == "done"
        assert client.get("/orders/1").status_code == 200
        assert client.get("/orders/1", headers=hasty).status_code == 200


def test_a_value_that_the_type_of_before_did_not_hold_is_found(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    database.execute("ALTER TABLE orders_synced ALTER o_custkey TYPE integer")
    path = "/orders/stream?sort=o_custkey&fields=o_orderkey&page_size=1"
    for _ in range(TIMES):
        following = read(client, path)["links"]["next"]
        read(client, following)
    database.execute("ALTER TABLE orders_synced ALTER o_custkey TYPE bigint")
    database.execute("UPDATE orders_synced SET o_custkey = 2 ^ 40 + o_orderkey")
    first = read(client, path)
    assert read(client, first["links"]["next"])["orders"] == [{"o_orderkey": 2}]


def test_types_may_change_again_and_again(database: OrdersDatabase, client: FlaskClient) -> None:
    # A fault while nothing is prepared.
    assert client.post("/run", data="SELECT 1 / 0").status_code == 500
    for length in range(41, 45):
        for _ in range(TIMES):
            read(client, "/orders/1")
        database.execute(f"ALTER TABLE orders_synced ALTER o_clerk TYPE varchar({length})")
        database.execute(f"ALTER TABLE orders_synced ALTER o_totalprice TYPE numeric({length}, 2)")


def test_a_change_that_fails_for_another_reason_is_answered_as_before(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    for n in range(TIMES):
        assert set_status(client, 1, "FO"[n % 2]).status_code == 200
    database.execute("ALTER TABLE lakebase_api.orders_history DROP COLUMN _request_id")
    assert set_status(client, 1, "P").status_code == 503
    assert status_of(client, 1) == "FO"[(TIMES - 1) % 2]
