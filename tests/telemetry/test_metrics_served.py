"""Metrics as they are served: by any worker for all, and on an address of their own."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
import requests
from flask.testing import FlaskClient

from lakebase_api import __version__
from lakebase_api.app import get_service
from lakebase_api.contradictions import find_risks
from lakebase_api.environment import load_settings
from lakebase_api.local.ports import free_port
from lakebase_api.telemetry.families import FAMILIES, Kind
from lakebase_api.telemetry.worker_folder import MEMORY
from tests.conftest import AppOpener, OrdersDatabase
from tests.environments import STATIC, mistakes
from tests.gunicorn_process import STARTED, GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.telemetry.scrape import Scrape
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

Starter = Callable[[dict[str, str]], GunicornProcess]
DURATION = "http_server_request_duration_seconds"
WORKERS = 4


def scrape(client: FlaskClient) -> Scrape:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(response.text)


def scrape_apart(port: int) -> Scrape:
    response = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE)
    assert response.status_code == 200
    return Scrape(response.text)


def find_folder(gunicorn: GunicornProcess) -> Path:
    """The folder that its workers share."""
    files = [Path(file.path) for file in psutil.Process(gunicorn.process.pid).open_files()]
    [lock] = [file for file in files if MEMORY in file.parents]
    return lock.parent


def list_workers(gunicorn: GunicornProcess) -> list[int]:
    return [child.pid for child in psutil.Process(gunicorn.process.pid).children()]


def test_requests_are_told_by_method_path_of_the_document_and_status(client: FlaskClient) -> None:
    for path in ("/orders/1", "/api/v1/orders/2", "/orders/9999999", "/orders/x", "/nowhere/4711"):
        client.get(path)
    client.open("/orders/1", method="BREW")
    told = scrape(client)
    route = "/orders/{order_key}"
    assert told.value(f"{DURATION}_count", http_route=route, http_response_status_code=200) == 2
    assert told.value(f"{DURATION}_count", http_route=route, http_response_status_code=404) == 1
    assert told.value(f"{DURATION}_count", http_route="", http_response_status_code=404) == 1
    assert told.value(f"{DURATION}_count", http_request_method="_OTHER") == 1
    assert told.value("db_client_operation_duration_seconds_count", db_operation_name="get_order") == 3
    assert told.sum("requests_rejected_total") == 4


def test_no_label_has_a_key_of_a_row_or_a_raw_path(client: FlaskClient) -> None:
    for path in ("/orders/14711", "/orders/pages?o_custkey=14711", "/14711", "/orders/count?o_clerk=14711"):
        client.get(path, headers={"X-Request-Id": "id-14711", "User-Agent": "14711"})
    assert not [series for series in scrape(client).samples if "14711" in str(series)]


def test_every_family_but_those_of_tokens_and_faults_has_samples_and_its_type(client: FlaskClient) -> None:
    client.get("/orders/1")
    client.get("/orders/export?o_custkey=1").close()
    client.get("/orders/x")
    told = scrape(client)
    assert told.value("build_info", version=__version__) == 1
    for family in FAMILIES:
        found = told.families.get(family.name.removesuffix("_total"))
        if found is None:
            assert family.name.startswith(("lakebase_token_", "synced_table_"))
        else:
            assert (found.type, found.documentation) == (family.kind, family.help)
        if family.kind is Kind.HISTOGRAM:
            assert told.sum(f"{family.name}_count") == told.sum(f"{family.name}_bucket", le="+Inf")


def test_exports_are_counted_with_their_rows_once_they_have_ended(client: FlaskClient) -> None:
    with client.get("/orders/export?format=csv&header=false&o_custkey=370") as answer:
        rows = answer.get_data(as_text=True).splitlines()
    told = scrape(client)
    assert told.value("exports_total", table="orders", outcome="complete") == 1
    assert told.value("export_rows_total", table="orders") == len(rows) > 0
    assert told.value("exports_running") == 0


def test_the_state_of_the_pool_is_what_it_is_when_asked(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    app = open_app(
        {**database.environment, "DB_POOL_SIZE": "2", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "30"}
    )
    client = app.test_client()
    assert client.get("/orders/1").status_code == 200
    with (
        psycopg.connect(database.server.conninfo(database.name)) as holder,
        ThreadPoolExecutor(4) as threads,
    ):
        holder.execute("LOCK TABLE orders_synced")
        answers = [threads.submit(app.test_client().get, "/orders/1") for _ in range(4)]
        # At first there may be one connection, and who waits for the other to be opened.
        wait_until(lambda: scrape(client).value("db_client_connection_count", state="used") == 2)
        wait_until(lambda: scrape(client).value("db_client_connection_pending_requests") == 2)
        told = scrape(client)
        assert told.value("db_client_connection_count", state="idle") == 0
        assert told.value("db_client_connection_max") == 2
        assert told.value("http_server_active_requests") == 5
        holder.rollback()
        assert [answer.result().status_code for answer in answers] == [200] * 4
    told = scrape(client)
    assert told.value("db_client_connection_pending_requests") == 0
    assert told.value("db_client_connection_count", state="used") == 0
    assert told.value("http_server_active_requests") == 1


def test_who_gets_no_connection_in_time_is_counted(database: OrdersDatabase, open_app: AppOpener) -> None:
    one = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "0.1"}
    client = open_app({**database.environment, **one}).test_client()
    wait_until(lambda: client.get("/orders/1").status_code == 200)
    before = scrape(client)
    with psycopg.connect(database.server.conninfo(database.name)) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("LOCK TABLE orders_synced")
        waiting = threads.submit(client.application.test_client().get, "/orders/1")
        while scrape(client).value("db_client_connection_count", state="used") == 0:
            assert not waiting.done()
        assert client.get("/orders/1").status_code == 503
        holder.rollback()
        assert waiting.result().status_code == 200
    told = scrape(client)
    timeouts = "db_client_connection_timeouts_total"
    assert told.value(timeouts) - before.value(timeouts) == 1
    waits = "db_client_connection_wait_time_seconds"
    assert told.value(f"{waits}_count") - before.value(f"{waits}_count") == 2
    assert told.value(f"{waits}_sum") - before.value(f"{waits}_sum") >= 0.1
    assert told.value("requests_rejected_total", problem="pool-exhausted") == 1


def test_tokens_are_told_by_their_times_and_tries(lakebase: LakebaseStandIn, open_app: AppOpener) -> None:
    client = open_app(lakebase.environment()).test_client()
    assert client.get("/orders/1").status_code == 200
    told = scrape(client)
    assert 0 < told.value("lakebase_token_expires_seconds") <= 3600
    assert 0 <= told.value("lakebase_token_age_seconds") < PATIENCE
    assert told.value("lakebase_token_refreshes_total", result="success") == 1
    assert told.value("lakebase_token_refreshes_total", result="failure") == 0
    assert told.value("db_client_connection_create_time_seconds_count") >= 1


def test_a_token_that_is_not_given_is_a_failure(lakebase: LakebaseStandIn, open_app: AppOpener) -> None:
    lakebase.workspace.fail("credentials", 500)
    client = open_app({**lakebase.environment(), "WAKE_BUDGET": "0"}).test_client()
    assert client.get("/orders/1").status_code == 503
    told = scrape(client)
    assert told.value("lakebase_token_refreshes_total", result="failure") >= 1
    assert not told.find("lakebase_token_expires_seconds")


def test_a_database_that_was_away_and_came_back_is_a_wake(
    lakebase: LakebaseStandIn, open_app: AppOpener
) -> None:
    client = open_app(lakebase.environment()).test_client()
    assert client.get("/orders/1").status_code == 200
    before = scrape(client).value("lakebase_wakes_total")
    lakebase.proxy.refuse()
    lakebase.proxy.cut()
    threading.Timer(0.5, lakebase.proxy.heal).start()
    assert client.get("/orders/1").status_code == 200
    told = scrape(client)
    assert told.value("lakebase_wakes_total") == before + 1
    assert told.value("lakebase_wake_duration_seconds_sum") > 0
    assert told.value("lakebase_retries_total") >= 0


def test_metrics_cost_no_statement(database: OrdersDatabase, client: FlaskClient) -> None:
    service = get_service(client.application)
    asked_at = service.lakebase.pool.asked_at
    scrape(client)
    assert service.lakebase.pool.asked_at == asked_at


@pytest.mark.parametrize(
    "bind", ["9464", "localhost", "localhost:0", "unix:/tmp/metrics", "fd://3", "http://0.0.0.0:1", "[::g]:1"]
)
def test_an_address_that_is_none_is_refused_by_name(bind: str) -> None:
    assert mistakes({**STATIC, "METRICS_BIND": bind})[0].startswith("METRICS_BIND: ")


def test_the_address_of_the_api_is_refused_and_one_that_others_reach_is_a_risk() -> None:
    assert mistakes({**STATIC, "METRICS_BIND": "127.0.0.1:8000"})[0].startswith("METRICS_BIND: ")
    open_to_others = load_settings({**STATIC, "METRICS_BIND": ":9464"})
    assert open_to_others.metrics_bind == "0.0.0.0:9464"
    assert [risk for risk in find_risks(open_to_others) if risk.startswith("METRICS_BIND=0.0.0.0:9464 ")]
    assert not list(find_risks(load_settings({**STATIC, "METRICS_BIND": "127.0.0.1:9464"})))


@pytest.mark.slow
def test_an_address_that_is_taken_is_said_and_served_once_it_is_free(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**database.environment, "METRICS_BIND": f"127.0.0.1:{port}"}
        gunicorn = start_gunicorn(environment).wait_until_started()
        gunicorn.wait_for_output(f"METRICS_BIND: cannot listen at 127.0.0.1:{port}")
        assert gunicorn.get("/orders/1").status_code == 200
    gunicorn.wait_for_output("Metrics: served at")
    assert scrape_apart(port).value("workers", state="answering") == 1
    assert requests.get(f"http://127.0.0.1:{port}/orders/1", timeout=PATIENCE).status_code == 404
    head = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).headers
    assert "Python" not in head["Server"]


@pytest.fixture
def served(database: OrdersDatabase, start_gunicorn: Starter) -> tuple[GunicornProcess, int]:
    """Four workers, and the port of their metrics."""
    port = free_port()
    environment = {
        **database.environment,
        "WEB_CONCURRENCY": str(WORKERS),
        "METRICS_BIND": f"127.0.0.1:{port}",
    }
    gunicorn = start_gunicorn(environment).wait_until_started()
    gunicorn.wait_for_output("Metrics: served at")
    return gunicorn, port


def ask_on_new_connections(gunicorn: GunicornProcess, times: int) -> None:
    """Each request may go to another worker."""
    with ThreadPoolExecutor(8) as threads:
        url = f"{gunicorn.url}/orders/1"
        answers = threads.map(lambda _: requests.get(url, timeout=PATIENCE).status_code, range(times))
        assert set(answers) == {200}


def test_each_of_four_workers_tells_what_all_have_counted(served: tuple[GunicornProcess, int]) -> None:
    gunicorn, port = served
    ask_on_new_connections(gunicorn, 200)
    route = {"http_route": "/orders/{order_key}", "http_response_status_code": 200}
    told = [
        scrape_apart(port),
        *(Scrape(requests.get(f"{gunicorn.url}/metrics", timeout=PATIENCE).text) for _ in range(12)),
    ]
    for one in told:
        assert one.value(f"{DURATION}_count", **route) == 200
        assert one.value("db_client_operation_duration_seconds_count", db_operation_name="get_order") == 200
        assert one.value("workers", state="answering") == WORKERS
        assert one.value("db_client_connection_max") == WORKERS * 4
    assert told[-1].value(f"{DURATION}_count", http_route="/metrics") == 11


def listens(pid: int, port: int) -> bool:
    """Whether the process has a socket that listens on the port."""
    sockets = psutil.Process(pid).net_connections("tcp")
    return any(one.status == psutil.CONN_LISTEN and one.laddr[1:] == (port,) for one in sockets)


def replace_worker(gunicorn: GunicornProcess, worker: int) -> None:
    """Kill it, and wait for the one that takes its place."""
    started = gunicorn.output.count(STARTED)
    os.kill(worker, signal.SIGKILL)
    gunicorn.wait_for_output(STARTED, times=started + 1)


def test_when_the_worker_that_listens_is_killed_the_next_one_does(
    served: tuple[GunicornProcess, int],
) -> None:
    gunicorn, port = served
    ask_on_new_connections(gunicorn, 20)
    for times in range(2, 5):
        [listener] = [pid for pid in list_workers(gunicorn) if listens(pid, port)]
        replace_worker(gunicorn, listener)
        gunicorn.wait_for_output("Metrics: served at", times=times)
        told = scrape_apart(port)
        assert told.sum(f"{DURATION}_count", http_route="/orders/{order_key}") == 20
        assert told.value("db_client_connection_max") == told.value("workers", state="answering") * 4


@pytest.mark.slow
def test_a_worker_replaced_fifty_times_leaves_no_more_files_and_no_count_falls(
    served: tuple[GunicornProcess, int],
) -> None:
    gunicorn, port = served
    folder = find_folder(gunicorn)
    ask_on_new_connections(gunicorn, 50)
    files = sorted(path.name for path in folder.iterdir())
    before = dict(scrape_apart(port).counters())
    for number in range(50):
        replace_worker(gunicorn, list_workers(gunicorn)[number % WORKERS])
        ask_on_new_connections(gunicorn, 4)
        gunicorn.wait_until(lambda: _answers(port))
        told = dict(scrape_apart(port).counters())
        assert all(told[series] >= value for series, value in before.items())
        before = told
    assert sorted(path.name for path in folder.iterdir()) == files
    told_at_last = scrape_apart(port)
    assert told_at_last.sum(f"{DURATION}_count", http_route="/orders/{order_key}") == 250
    assert told_at_last.value("workers", state="answering") == WORKERS


def _answers(port: int) -> bool:
    try:
        return scrape_apart(port).value("workers", state="answering") == WORKERS
    except requests.ConnectionError:
        return False
