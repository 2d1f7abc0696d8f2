"""One id for a request: in the answer, the log, the history and the database."""

import io
import itertools
import json
import logging
import logging.config
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.environment import load_settings
from lakebase_api.http.logs import build_logging_config
from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.connection import Connection
from lakebase_api.local.server_log import LogExcerpt
from tests.conftest import AppOpener, OrdersDatabase
from tests.waiting import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"traceparent": TRACEPARENT}, TRACE),
        ({"traceparent": TRACEPARENT, "X-Request-Id": "mine"}, "mine"),
        ({"traceparent": TRACEPARENT, "X-Request-Id": "not;mine"}, TRACE),
    ],
)
def test_the_id_of_a_trace_is_that_of_a_request_that_has_no_other(
    reader: FlaskClient, headers: dict[str, str], request_id: str
) -> None:
    for path in ("/orders/1", "/nothing"):
        answer = reader.get(path, headers=headers)
        assert answer.headers["X-Request-Id"] == request_id
    assert answer.json is not None
    assert answer.json["request_id"] == request_id


def test_a_header_that_is_not_valid_counts_as_absent(reader: FlaskClient) -> None:
    answer = reader.get("/livez", headers={"traceparent": TRACEPARENT.replace("00-", "ff-")})
    assert len(answer.headers["X-Request-Id"]) == 32
    assert answer.headers["X-Request-Id"] != TRACE


@pytest.mark.parametrize(
    ("headers", "end"),
    [
        ({"traceparent": TRACEPARENT, "X-Request-Id": "mine"}, f"ms trace={TRACE}"),
        ({"traceparent": TRACEPARENT}, "ms"),
        ({"X-Request-Id": "mine"}, "ms"),
    ],
)
def test_the_line_of_a_request_has_the_trace_where_it_is_another_id(
    reader: FlaskClient, caplog: pytest.LogCaptureFixture, headers: dict[str, str], end: str
) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    reader.get("/livez", headers=headers)
    [line] = [record.getMessage() for record in caplog.records if "Request: " in record.getMessage()]
    assert line.rpartition(" wait=")[2].lstrip("0.") == end


@pytest.fixture
def json_log(database: OrdersDatabase) -> Iterator[io.StringIO]:
    """The log as ``LOG_FORMAT=json`` has it."""
    config = build_logging_config(load_settings({**database.environment, "LOG_FORMAT": "json"}))
    configurator = logging.config.DictConfigurator(config)
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(configurator.configure_formatter(config["formatters"]["line"]))
    handler.addFilter(configurator.configure_filter(config["filters"]["request_id"]))
    logger = logging.getLogger("lakebase_api")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield log
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def read_lines(log: io.StringIO, *beginnings: str) -> list[dict[str, str]]:
    """The lines whose message begins so."""
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["message"].startswith(beginnings)]


def test_lines_of_json_have_both_ids_those_of_an_export_too(
    database: OrdersDatabase, open_app: AppOpener, json_log: io.StringIO
) -> None:
    client = open_app(database.environment).test_client()
    headers = {"traceparent": TRACEPARENT, "X-Request-Id": "mine"}
    with client.get("/orders/export?o_custkey=370", headers=headers) as answer:
        assert answer.data
    lines = read_lines(json_log, "Request: ", "Export: ")
    assert len(lines) == 2
    assert {(line["request_id"], line["trace_id"]) for line in lines} == {("mine", TRACE)}


@pytest.fixture
def server_log(database: OrdersDatabase) -> Iterator[LogExcerpt]:
    """What the server logs of sessions of the database: each statement, after the name of the session."""
    database.execute(f"ALTER DATABASE {database.name} SET log_min_duration_statement = 0")
    database.execute("ALTER SYSTEM SET log_line_prefix = '<%a> '")
    database.execute("SELECT pg_reload_conf()")
    yield LogExcerpt(database.server.log_path)
    database.execute("ALTER SYSTEM RESET log_line_prefix")
    database.execute("SELECT pg_reload_conf()")


def test_one_id_is_in_the_answer_the_log_the_history_and_the_log_of_the_server(
    database: OrdersDatabase,
    open_app: AppOpener,
    server_log: LogExcerpt,
    json_log: io.StringIO,
) -> None:
    client = open_app({**database.environment, "TRACE_SQL": "true"}).test_client()
    headers = {"traceparent": TRACEPARENT}
    answer = client.post("/orders/1/status", json={"o_orderstatus": "F"}, headers=headers)
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (200, TRACE)
    [line] = read_lines(json_log, "Request: POST")
    assert (line["request_id"], line["trace_id"]) == (TRACE, TRACE)
    history = client.get("/orders/1/history").json
    assert history is not None
    assert history["changes"][0]["request_id"] == TRACE
    told = server_log.read()
    assert f"<lakebase-orders-api/{TRACE}> LOG:" in told
    assert "/*update_order_status*/" in told


def ask_of_session(app: Flask, statement: bytes) -> Any:
    """One value, on the app's connection."""

    def ask(connection: Connection) -> Any:
        [(value,)] = connection.execute(statement).fetchall()
        return value

    return get_service(app).lakebase.database.read_for(Background(time.monotonic() + 10), ask)


ONE_CONNECTION = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
PREPARED = b"SELECT array_agg(statement ORDER BY statement) FROM pg_prepared_statements"


def test_statements_name_their_operations(database: OrdersDatabase, open_app: AppOpener) -> None:
    app = open_app({**database.environment, **ONE_CONNECTION, "RESULT_CACHE_SIZE": "0"})
    client = app.test_client()
    paths = {
        "get_order": "/orders/1",
        "stream_orders": "/orders/stream",
        "get_orders": "/orders?keys=1",
        "sample_orders": "/orders/sample",
        "count_orders": "/orders/count?o_custkey=370",
    }
    for path, _ in itertools.product(paths.values(), range(7)):
        assert client.get(path).status_code == 200, path
    names = b"SELECT string_agg(substring(statement FROM '/\\*(\\w+)\\*/'), ' ') FROM pg_prepared_statements"
    named = set(str(ask_of_session(app, names)).split())
    assert {"get_order", "stream_orders", "get_orders"} <= named <= set(paths)


def test_an_export_names_its_operation_and_request(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**database.environment, "TRACE_SQL": "true"}).test_client()
    path, conninfo = "/orders/export?o_custkey=370", database.server.conninfo(database.name)
    assert client.get(path).status_code == 200
    waiting = (
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND application_name LIKE '%/mine'"
    )
    with psycopg.connect(conninfo) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("LOCK TABLE orders_synced")
        exporting = threads.submit(client.get, path, headers={"X-Request-Id": "mine"})
        wait_until(lambda: "/*export_orders*/" in str(database.execute(waiting)))
        holder.rollback()
        assert exporting.result().status_code == 200


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_prepared_statements_stay_few_however_many_ids_there_are(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    app = open_app({**unchanged_database.environment, **ONE_CONNECTION, "TRACE_SQL": "true"})
    client = app.test_client()

    def ask_often(times: int) -> None:
        for _ in range(times):
            key, request_id = random.randint(1, 60_000), f"{random.getrandbits(128):x}"
            client.get(f"/orders/{key}", headers={"X-Request-Id": request_id})

    ask_often(100)
    before = ask_of_session(app, PREPARED)
    ask_often(1000)
    # What looks at the table now and then may have come to be prepared meanwhile.
    after = [each for each in ask_of_session(app, PREPARED) if "pg_class" not in each]
    assert set(after) <= set(before)
    assert len(before) < 5
