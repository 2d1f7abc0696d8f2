"""The real server process: started, asked, stopped."""

import json
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.waiting import PATIENCE

Starter = Callable[[dict[str, str]], GunicornProcess]


def test_it_starts_serves_and_stops_on_sigterm(database: OrdersDatabase, start_gunicorn: Starter) -> None:
    gunicorn = start_gunicorn({**database.environment, "WEB_CONCURRENCY": "2"}).wait_until_started()
    assert gunicorn.get("/orders/1").json()["o_orderkey"] == 1
    assert gunicorn.get("/api/v1/orders/count").json()["total_orders"] == 15_000
    server_header = gunicorn.get("/livez").headers["Server"]
    assert not re.search(r"\d", server_header)
    gunicorn.process.send_signal(signal.SIGTERM)
    assert gunicorn.process.wait(PATIENCE) == 0
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lakebase-orders-api'"
    named = f"{sessions} AND datname = current_database()"
    assert database.execute(named) == [(0,)]


def test_the_settings_are_logged_once_without_secrets(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn({**database.environment, "WEB_CONCURRENCY": "2"}).wait_until_started()
    [line] = [line for line in gunicorn.output.splitlines() if "Settings: " in line]
    assert "PGHOST=127.0.0.1" in line
    assert "DB_POOL_SIZE=2" in line
    assert "PGPASSWORD=(set)" in line
    assert database.environment["PGPASSWORD"] not in gunicorn.output


def test_wrong_settings_end_it_with_every_mistake_and_no_traceback(start_gunicorn: Starter) -> None:
    gunicorn = start_gunicorn({"PGHOST": "db.example.com", "DB_POOL_SIZE": "many", "ENV_FILE": "/dev/null"})
    assert gunicorn.process.wait(PATIENCE) != 0
    gunicorn.wait_for_output("PGUSER: ")
    for name in ("DB_POOL_SIZE: ", "PGPASSWORD: ", "PGUSER: "):
        assert name in gunicorn.output
    assert "Traceback" not in gunicorn.output


def test_json_lines_are_json_gunicorns_own_included(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn({**database.environment, "LOG_FORMAT": "json"}).wait_until_started()
    gunicorn.get("/orders/1", **{"X-Request-Id": "the-id"})
    gunicorn.wait_for_output("Request: GET /orders/1")
    lines = [json.loads(line) for line in gunicorn.output.splitlines()]
    loggers = {line["logger"] for line in lines}
    assert {"gunicorn.error", "lakebase_api", "lakebase_api.service"} <= loggers
    [request] = [line for line in lines if line["message"].startswith("Request: ")]
    assert request["request_id"] == "the-id"


def test_requests_in_flight_are_finished_before_it_stops(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn(database.environment).wait_until_started()
    assert gunicorn.get("/orders/1").status_code == 200
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(database.server.conninfo(database.name)) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("LOCK TABLE orders_synced")
        answer = threads.submit(gunicorn.get, "/orders/1")
        while database.execute(waiting) == [(0,)]:
            assert not answer.done()
        gunicorn.process.send_signal(signal.SIGTERM)
        gunicorn.wait_for_output("Handling signal: term")
        holder.rollback()
        assert answer.result().status_code == 200
    assert gunicorn.process.wait(PATIENCE) == 0


@pytest.mark.slow
@pytest.mark.parametrize("workspace_is_up", [True, False], ids=["database-away", "workspace-away"])
def test_it_starts_without_database_and_workspace_and_works_when_they_come(
    workspace_is_up: bool, lakebase: LakebaseStandIn, start_gunicorn: Starter
) -> None:
    environment = {**lakebase.environment(), "WAKE_BUDGET": "0.5"}
    with lakebase.without_server():
        if not workspace_is_up:
            lakebase.workspace.refuse_connections()
        gunicorn = start_gunicorn(environment).wait_until_started()
        assert gunicorn.get("/livez").status_code == 200
        assert gunicorn.get("/docs").status_code == 200
        gunicorn.wait_until(lambda: gunicorn.get("/readyz").status_code == 503)
        refused = gunicorn.get("/orders/1")
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/database-unavailable"
        assert refused.headers["Retry-After"]
    lakebase.workspace.heal()
    gunicorn.wait_until(lambda: gunicorn.get("/readyz").status_code == 200)
    assert gunicorn.get("/orders/1").status_code == 200
