import json
import logging
import logging.config
import re
import uuid

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.environment import load_settings
from lakebase_api.http.logs import RequestIdFilter, build_logging_config
from lakebase_api.telemetry.traffic import Traffic, TrafficReport
from tests.conftest import AppOpener, OrdersDatabase
from tests.telemetry.observations import observe

PATHS = ["/orders/1", "/orders/8", "/orders/abc", "/nothing", "/livez", "/", "/docs", "/openapi.json"]


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_its_id_and_its_timing(reader: FlaskClient, path: str) -> None:
    answer = reader.get(path)
    assert uuid.UUID(answer.headers["X-Request-Id"])
    assert 0 < float(answer.headers["X-Process-Time"]) < 60
    assert re.fullmatch(r"db;dur=\d+\.\d, total;dur=\d+\.\d", answer.headers["Server-Timing"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123_X.y", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("with space", False),
        ("semi;colon", False),
        ("ünï", False),
    ],
)
def test_a_well_formed_request_id_of_the_caller_is_kept(reader: FlaskClient, given: str, kept: bool) -> None:
    for path in ("/livez", "/nothing"):
        answered = reader.get(path, headers={"X-Request-Id": given}).headers["X-Request-Id"]
        assert (answered == given) == kept


def test_a_request_is_one_line_in_the_form_people_search_for(
    reader: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    reader.get("/orders/1?")
    reader.get("/api/v1/orders/8")
    lines = [record.getMessage() for record in caplog.records if "Request: " in record.getMessage()]
    timing = r"db=\d+\.\dms wait=\d+\.\dms"
    assert len(lines) == 2
    assert re.fullmatch(rf"Request: GET /orders/1 - \d+\.\dms status=200 {timing}", lines[0])
    assert re.fullmatch(rf"Request: GET /api/v1/orders/8 - \d+\.\dms status=404 {timing}", lines[1])


def test_a_path_cannot_forge_a_log_line(reader: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    reader.get("/x%0AINFO%20forged%1b")
    [line] = [record.getMessage() for record in caplog.records if "Request: " in record.getMessage()]
    assert "/x%0AINFO%20forged%1B" in line
    assert "\n" not in line


def test_each_log_record_of_a_request_has_its_id(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    app = open_app(unchanged_database.environment)
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    keeper = Keeper()
    keeper.addFilter(RequestIdFilter())
    logger = logging.getLogger("lakebase_api")
    logger.addHandler(keeper)
    logger.setLevel(logging.INFO)
    try:
        app.test_client().get("/orders/1", headers={"X-Request-Id": "the-id"})
        logger.info("outside")
    finally:
        logger.removeHandler(keeper)
        logger.setLevel(logging.NOTSET)
    ids = {record.getMessage()[:12]: record.request_id for record in records}  # type: ignore[attr-defined]
    assert ids["Request: GET"] == "the-id"
    assert ids["outside"] == "-"


def test_json_lines_hold_the_same(
    unchanged_database: OrdersDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    config = build_logging_config(load_settings({**unchanged_database.environment, "LOG_FORMAT": "json"}))
    formatter = logging.config.DictConfigurator(config).configure_formatter(config["formatters"]["line"])
    record = logging.LogRecord("lakebase_api", logging.INFO, "", 0, "Request: %s", ("GET /",), None)
    RequestIdFilter().filter(record)
    line = json.loads(formatter.format(record))
    assert set(line) == {"time", "level", "process", "request_id", "trace_id", "logger", "message"}
    assert (line["request_id"], line["trace_id"]) == ("-", None)
    assert line["message"] == "Request: GET /"
    assert line["level"] == "INFO"


def test_the_traffic_line_says_how_the_service_is_doing_and_only_when_there_was_any(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    traffic = Traffic()
    pool = {"pool_size": 5, "pool_available": 3, "requests_waiting": 1, "requests_errors": 2}
    report = TrafficReport(traffic, lambda: {**pool, "tokens_minted": 7, "retries": 4})
    report.log()
    assert caplog.records == []
    for status in (200, 404, 200):
        traffic.observe(observe(status=status))
    report.log()
    assert [record.getMessage() for record in caplog.records] == [
        "Traffic: pool_size=5 in_use=2 waiting=1 timeouts=2 tokens_minted=7 retries=4 "
        "requests=3 status_200=2 status_404=1"
    ]
    report.log()
    assert len(caplog.records) == 1


def test_responses_are_counted(app_with_traffic: tuple[Flask, Traffic]) -> None:
    app, traffic = app_with_traffic
    client = app.test_client()
    for path in ("/livez", "/livez", "/nothing"):
        client.get(path)
    assert traffic.take() == {200: 2, 404: 1}


@pytest.fixture
def app_with_traffic(unchanged_database: OrdersDatabase, open_app: AppOpener) -> tuple[Flask, Traffic]:

    app = open_app(unchanged_database.environment)
    return app, get_service(app).traffic


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "1e9", "nan", "1 s", "1.", ""])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(reader: FlaskClient, timeout: str) -> None:
    answer = reader.get("/orders/1", headers={"X-Request-Timeout": timeout})
    assert answer.status_code == (422 if timeout else 200)
    if timeout:
        assert answer.json is not None
        assert answer.json["errors"][0]["in"] == "header"


def test_a_caller_may_have_less_time_than_there_is(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app(database.environment).test_client()
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        answer = client.get("/orders/1", headers={"X-Request-Timeout": "0.2"})
    assert answer.status_code == 504
    assert client.get("/orders/1").status_code == 200
