"""Traces and metrics as a collector gets them."""

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.redaction import redact
from tests.conftest import AppOpener, OrdersDatabase, make_app
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.telemetry.collector import Collector, SentSpan
from tests.waiting import PATIENCE, wait_until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT = 2, 3
FAULTY = 2
# Milliseconds until spans, and metrics, are sent.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}

Opener = Callable[..., FlaskClient]


def trace(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def open_traced(
    collector: Collector,
    unchanged_database: OrdersDatabase,
    open_app: AppOpener,
    monkeypatch: pytest.MonkeyPatch,
) -> Opener:
    """Opens an app that sends to the collector, with these variables besides, and gives its client."""

    def open_one(**variables: str) -> FlaskClient:
        variables = {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return open_app({**unchanged_database.environment, **variables}).test_client()

    return open_one


def find_spans(spans: list[SentSpan], trace_id: str) -> tuple[SentSpan, SentSpan]:
    """The span of a request, and that of its use of the database."""
    [server] = [span for span in spans if span.trace_id == trace_id and span.kind == SERVER]
    [use] = [span for span in spans if span.trace_id == trace_id and span.kind == CLIENT]
    return server, use


def test_a_request_is_two_spans_below_that_of_its_caller(collector: Collector, open_traced: Opener) -> None:
    answer = open_traced().get("/api/v1/orders/1", headers={**trace(), "X-Request-Id": "mine"})
    assert answer.status_code == 200
    server, use = find_spans(collector.wait_for_spans(lambda spans: len(spans) == 2), TRACE)
    assert (server.name, server.parent_id, server.status) == ("GET /orders/{order_key}", PARENT, 0)
    assert server.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/orders/{order_key}",
        "http.response.header.x-request-id": ["mine"],
    }
    assert (use.name, use.parent_id) == ("get_order orders", server.span_id)
    waited = use.attributes.pop("lakebase_api.connection.waited")
    assert waited >= 0
    assert use.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "get_order",
        "db.query.summary": "get_order orders",
        "db.collection.name": "orders",
    }
    assert server.begin <= use.begin < use.end <= server.end
    assert server.resource["service.name"] == "lakebase-orders-api"
    assert server.resource["service.version"]


def test_a_trace_that_begins_here_has_the_id_of_the_answer(collector: Collector, open_traced: Opener) -> None:
    answer = open_traced().get("/orders/1")
    spans = collector.wait_for_spans(lambda spans: len(spans) == 2)
    server, _ = find_spans(spans, answer.headers["X-Request-Id"])
    assert server.parent_id == ""


def test_nothing_that_is_sent_has_a_key_or_a_value(collector: Collector, open_traced: Opener) -> None:
    client = open_traced()
    client.get("/orders/1234567?secret=7654321")
    client.get("/1234567")
    client.get("/orders/pages?o_clerk_prefix=1234567")
    spans = collector.wait_for_spans(lambda spans: sum(span.kind == SERVER for span in spans) == 3)
    assert not re.search("1234567|7654321", str(spans))
    assert {span.name for span in spans if span.kind == SERVER} == {
        "GET /orders/{order_key}",
        "GET",
        "GET /orders/pages",
    }


def test_a_fault_of_ours_is_an_error_and_one_of_the_callers_is_not(
    collector: Collector, open_traced: Opener
) -> None:
    client = open_traced(PGPASSWORD="wrong", WAKE_BUDGET="0")
    assert client.get("/orders/1").status_code == 503
    assert client.get("/orders/abc").status_code in (404, 422)
    spans = collector.wait_for_spans(lambda spans: sum(span.kind == SERVER for span in spans) == 2)
    faulty, mistaken = (span for span in spans if span.kind == SERVER)
    assert (faulty.status, faulty.attributes["error.type"]) == (FAULTY, "database-unavailable")
    assert (mistaken.status, "error.type" in mistaken.attributes) == (0, False)


def test_what_the_caller_does_not_record_is_not_sent(collector: Collector, open_traced: Opener) -> None:
    client = open_traced(OTEL_TRACES_SAMPLER="parentbased_always_on")
    assert client.get("/orders/1", headers=trace("00")).status_code == 200
    other = client.get("/orders/2").headers["X-Request-Id"]
    spans = collector.wait_for_spans(lambda spans: len(spans) >= 2)
    assert {span.trace_id for span in spans} == {other}


def test_a_sampler_of_the_environment_is_heeded(collector: Collector, open_traced: Opener) -> None:
    client = open_traced(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    client.get("/orders/1")
    client.get("/orders/1", headers=trace("01"))
    spans = collector.wait_for_spans(lambda spans: len(spans) >= 2)
    assert {span.trace_id for span in spans} == {TRACE}


def test_durations_and_the_pool_are_measured(collector: Collector, open_traced: Opener) -> None:
    client = open_traced(
        OTEL_SERVICE_NAME="shop", OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test"
    )
    for _ in range(3):
        client.get("/orders/1")
    name = "http.server.request.duration"
    wait_until(lambda: any(point.count == 3 for _, point in collector.find_metric(name)))
    of, point = collector.find_metric(name)[-1]
    assert (of["http.route"], of["http.request.method"]) == ("/orders/{order_key}", "GET")
    assert of["http.response.status_code"] == 200
    assert (of["service.name"], of["deployment.environment.name"]) == ("shop", "test")
    assert of["service.instance.id"]
    assert list(point.explicit_bounds)[:2] == [0.005, 0.01]
    assert 0 < point.sum < 60
    connections = collector.find_metric("db.client.connection.count")
    assert {of["db.client.connection.state"] for of, _ in connections} == {"idle", "used"}
    assert collector.find_metric("db.client.connection.pending_requests")


def test_headers_are_sent_and_kept_out_of_the_log(collector: Collector, open_traced: Opener) -> None:
    client = open_traced(
        OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20very-secret-of-otel,x-table=spans"
    )
    client.get("/orders/1")
    collector.wait_for_spans(lambda spans: len(spans) == 2)
    headers = {name.lower(): value for name, value in collector.headers[-1].items()}
    assert (headers["authorization"], headers["x-table"]) == ("Bearer very-secret-of-otel", "spans")
    assert "very-secret" not in redact("it said: very-secret-of-otel")


def test_a_collector_that_is_away_harms_no_request_and_is_one_line(
    collector: Collector, open_traced: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    logging.getLogger("opentelemetry").setLevel("CRITICAL")  # as the configuration of the log has it
    collector.status = 400
    client = open_traced()

    def find_lines(text: str) -> list[str]:
        return [record.getMessage() for record in caplog.records if text in record.getMessage()]

    for _ in range(20):
        assert client.get("/orders/1").status_code == 200
    refused = len(collector.headers)
    wait_until(lambda: len(collector.headers) > refused + 10)
    assert len(find_lines("takes no traces")) == len(find_lines("takes no metrics")) == 1
    collector.status = 200
    client.get("/orders/1")
    collector.wait_for_spans(lambda spans: len(spans) >= 2)
    wait_until(lambda: bool(find_lines("takes traces again") and find_lines("takes metrics again")))
    assert len(find_lines("Telemetry: ")) == 4
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)


@pytest.mark.slow
def test_a_collector_that_is_not_there_does_not_hold_up_the_end(
    unchanged_database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    variables = {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    gunicorn = start_gunicorn({**unchanged_database.environment, **variables}).wait_until_started()
    assert gunicorn.get("/orders/1").status_code == 200
    gunicorn.wait_for_output("takes no metrics")
    gunicorn.process.terminate()
    assert gunicorn.process.wait(PATIENCE) == 0
    assert "Traceback" not in gunicorn.output
    assert gunicorn.output.count("Telemetry: ") <= 2


@pytest.mark.slow
def test_each_worker_sends_its_own_and_what_is_left_at_its_end(
    collector: Collector,
    unchanged_database: OrdersDatabase,
    start_gunicorn: Callable[[dict[str, str]], GunicornProcess],
) -> None:
    # So late that only the end of the workers sends anything.
    late = {
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        "WEB_CONCURRENCY": "2",
    }
    variables = {**late, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "PIN_WORKERS": "false"}
    gunicorn = start_gunicorn({**unchanged_database.environment, **variables}).wait_until_started()

    def find_workers() -> int:
        gunicorn.get("/orders/1", Connection="close")
        return len(set(re.findall(r"INFO \[(\d+)\] \S+ \S+request_context: Request: ", gunicorn.output)))

    gunicorn.wait_until(lambda: find_workers() == 2)
    assert collector.spans == []
    gunicorn.process.terminate()
    assert gunicorn.process.wait(PATIENCE) == 0
    asked = gunicorn.output.count("Request: GET /orders/1")
    spans = collector.spans
    assert [span.kind for span in spans].count(SERVER) == [span.kind for span in spans].count(CLIENT) == asked
    assert len({span.resource["service.instance.id"] for span in spans}) == 2
    counted: dict[Any, int] = {}
    for of, point in collector.find_metric("http.server.request.duration"):
        counted[of["service.instance.id"]] = point.count
    assert (len(counted), sum(counted.values())) == (2, asked)


def test_without_a_collector_nothing_of_it_is_imported(unchanged_database: OrdersDatabase) -> None:
    program = (
        "import sys; from lakebase_api.app import get_service; from tests.conftest import make_app;"
        "service = get_service(make_app(dict(zip(sys.argv[1::2], sys.argv[2::2]))));"
        "service.open(); service.close();"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    arguments = [part for pair in unchanged_database.environment.items() for part in pair]
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr


def test_without_the_packages_it_is_said_and_the_service_serves(
    unchanged_database: OrdersDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "lakebase_api.telemetry.otlp", None)
    environment = {**unchanged_database.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    app = make_app(environment)
    get_service(app).open()
    assert app.test_client().get("/orders/1").status_code == 200
    get_service(app).close()
    [line] = [record.getMessage() for record in caplog.records if "OTEL_" in record.getMessage()]
    assert "requirements-otel.txt" in line
