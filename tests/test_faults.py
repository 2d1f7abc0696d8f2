"""What a client sees of a database that dies, sleeps, stalls or refuses: the real server, behind a proxy."""

import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import psycopg
import pytest
import requests

from tests.conftest import ROLE, OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.gunicorn_process import GunicornProcess
from tests.load import Load, get

Starter = Callable[[dict[str, str]], GunicornProcess]
AppStarter = Callable[..., GunicornProcess]

APP_NAME = "lakebase-orders-api"
SESSIONS = f"FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{APP_NAME}'"
WAITING = f"SELECT count(*) {SESSIONS} AND wait_event_type = 'Lock'"
BUSY = f"SELECT count(*) {SESSIONS} AND state = 'active'"
KILL_ALL = f"SELECT pg_terminate_backend(pid) {SESSIONS}"
# Counts the updates that were made, whoever was told what.
COUNT_UPDATES = """
CREATE TABLE made (order_key bigint);
CREATE FUNCTION note_update() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.made VALUES (NEW.o_orderkey); RETURN NEW; END';
CREATE TRIGGER note_update AFTER UPDATE ON orders_synced FOR EACH ROW EXECUTE FUNCTION note_update()
"""
MADE = "SELECT count(*) FROM made"
ONE_CONNECTION = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}


@pytest.fixture
def proxy(database: OrdersDatabase) -> Iterator[FaultProxy]:
    with FaultProxy(database.server.port) as proxy:
        yield proxy


@pytest.fixture
def start(database: OrdersDatabase, proxy: FaultProxy, start_gunicorn: Starter) -> AppStarter:
    """Starts the server on the test's own database, behind the proxy; settings are keyword arguments."""

    def start_one(**settings: str) -> GunicornProcess:
        environment = {**database.environment, "PGPORT": str(proxy.port), "WEB_THREADS": "64", **settings}
        return start_gunicorn(environment).wait_until_started()

    return start_one


@contextmanager
def locked(database: OrdersDatabase, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """No statement on the orders gets on meanwhile; in mode EXCLUSIVE no update."""
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute(f"LOCK TABLE orders_synced IN {mode} MODE".encode())
        yield
        holder.rollback()


def set_status(gunicorn: GunicornProcess, status: str) -> requests.Response:
    return gunicorn.session.post(
        f"{gunicorn.url}/orders/1/status", json={"o_orderstatus": status}, timeout=60
    )


def assert_retryable(answer: requests.Response, kind: str) -> None:
    assert answer.status_code == 503
    assert answer.json()["type"] == f"/problems/{kind}"
    assert int(answer.headers["Retry-After"]) >= 1


def describe_parts(gunicorn: GunicornProcess) -> str:
    """What the readiness probe says is wrong."""
    parts: dict[str, str] = gunicorn.get("/readyz?verbose").json()["parts"]
    return "; ".join(f"{name}: {state}" for name, state in parts.items() if state != "ok")


def is_ready(gunicorn: GunicornProcess) -> bool:
    return gunicorn.get("/readyz").status_code == 200


@pytest.mark.parametrize("death", ["cut by the network", "killed by the server"])
def test_no_read_fails_when_every_connection_dies_at_once_under_32_clients(
    database: OrdersDatabase, proxy: FaultProxy, start: AppStarter, death: str
) -> None:
    gunicorn = start()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=32) as load:
        for _ in range(3):
            load.wait_for_each(2)
            if death == "cut by the network":
                proxy.cut()
            else:
                database.execute(KILL_ALL)
        load.wait_for_each(2)
    assert load.failures() == {}


def test_a_write_that_may_have_been_made_is_not_repeated_and_says_so(
    database: OrdersDatabase, proxy: FaultProxy, start: AppStarter
) -> None:
    database.execute(COUNT_UPDATES)
    gunicorn = start()
    with locked(database, "EXCLUSIVE"), ThreadPoolExecutor(1) as threads:
        answer = threads.submit(set_status, gunicorn, "F")
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(1,)])
        proxy.cut()
        assert_retryable(answer.result(), "outcome-unknown")
    gunicorn.wait_until(lambda: database.execute(BUSY) == [(0,)])
    assert database.execute(MADE) == [(1,)]


def test_a_write_that_finds_its_connection_dead_is_made_once(
    database: OrdersDatabase, proxy: FaultProxy, start: AppStarter
) -> None:
    database.execute(COUNT_UPDATES)
    gunicorn = start()
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.cut()
    assert set_status(gunicorn, "F").status_code == 200
    assert database.execute(MADE) == [(1,)]


@pytest.mark.parametrize("outage", ["refuse", "starting_up"])
def test_reads_wait_for_a_database_that_wakes_up_and_none_fails(
    proxy: FaultProxy, start: AppStarter, outage: str
) -> None:
    gunicorn = start()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=8) as load:
        load.wait_for_each(2)
        getattr(proxy, outage)()
        proxy.cut()
        gunicorn.wait_until(lambda: not is_ready(gunicorn))
        proxy.heal()
        load.wait_for_each(2)
    assert load.failures() == {}


def test_an_outage_longer_than_the_wake_budget_is_answered_503_and_its_end_is_found_with_nobody_asking(
    proxy: FaultProxy, start: AppStarter
) -> None:
    proxy.starting_up()
    gunicorn = start(WAKE_BUDGET="0.2")
    assert_retryable(gunicorn.get("/orders/1"), "database-unavailable")
    assert gunicorn.get("/livez").status_code == 200
    before = proxy.counts.turned_away
    proxy.wait_for(lambda counts: counts.turned_away >= before + 2)
    assert_retryable(gunicorn.get("/orders/1"), "database-unavailable")
    proxy.heal()
    gunicorn.wait_until(lambda: is_ready(gunicorn))
    assert gunicorn.get("/orders/1").status_code == 200


def test_in_a_stalled_network_requests_end_by_their_deadline_and_no_thread_is_lost(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start(WEB_THREADS="8", DB_POOL_MAX_WAITING="8")
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.stall()
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(gunicorn.get, "/orders/1", **{"X-Request-Timeout": "0.5"}) for _ in range(16)]
        assert [answer.result().status_code for answer in asked] == [504] * 16
    assert gunicorn.get("/livez").status_code == 200
    proxy.heal()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=8) as load:
        load.wait_for_each(2)


def test_connections_that_the_network_forgot_are_replaced_after_a_deadline(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start()
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.forget()
    assert gunicorn.get("/orders/1", **{"X-Request-Timeout": "0.5"}).status_code == 504
    with Load(gunicorn.port, lambda: get("/orders/1", **{"X-Request-Timeout": "0.5"}), clients=8) as load:
        load.wait_for_each(2)
    assert set(load.failures()) <= {"504 deadline-exceeded"}


def test_more_requests_than_pool_and_queue_take_are_refused_at_once_and_the_others_served(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(DB_POOL_SIZE="2", DB_MAX_OVERFLOW="0", DB_POOL_MAX_WAITING="2")
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=4) as load:
        load.wait_for_each(10)
    with ThreadPoolExecutor(10) as threads:
        with locked(database):
            asked = [threads.submit(gunicorn.get, "/orders/1") for _ in range(10)]
            refused: list[Future[requests.Response]] = list(itertools.islice(as_completed(asked), 6))
            assert gunicorn.get("/livez").status_code == 200
            assert is_ready(gunicorn)
        for answer in refused:
            assert_retryable(answer.result(), "pool-exhausted")
        assert [answer.result().status_code for answer in asked if answer not in refused] == [200] * 4


def test_too_few_threads_for_the_pool_and_its_queue_are_named_in_the_log(start: AppStarter) -> None:
    gunicorn = start(WEB_THREADS="4")
    assert re.search("WARNING.*WEB_THREADS", gunicorn.output)


def test_a_statement_ends_with_the_deadline_of_its_request_and_the_connection_serves_the_next(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(**ONE_CONNECTION)
    assert gunicorn.get("/orders/1").status_code == 200
    [(backend,)] = database.execute(f"SELECT pid {SESSIONS}")
    with locked(database):
        answer = gunicorn.get("/orders/1", **{"X-Request-Timeout": "0.3"})
        assert answer.status_code == 504
        assert answer.json()["type"] == "/problems/deadline-exceeded"
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(0,)])
    assert gunicorn.get("/orders/1").status_code == 200
    assert database.execute(f"SELECT pid {SESSIONS}") == [(backend,)]


def test_the_setting_bounds_every_request_and_a_header_only_shortens_it(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(REQUEST_TIMEOUT="0.3", **ONE_CONNECTION)
    assert gunicorn.get("/orders/1").status_code == 200
    with locked(database):
        assert gunicorn.get("/orders/1").status_code == 504
        assert gunicorn.get("/orders/1", **{"X-Request-Timeout": "60"}).status_code == 504


def test_without_requests_the_last_connection_is_closed_and_the_next_request_opens_one(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start(DB_POOL_SIZE="0", DB_POOL_IDLE_TIMEOUT="1")
    assert gunicorn.get("/orders/1").status_code == 200
    with Load(gunicorn.port, lambda: get("/readyz"), pause=0.1) as probes:
        proxy.wait_for(lambda counts: counts.open == 0)
        probes.wait_for_each(2)
    assert probes.failures() == {}
    assert gunicorn.get("/orders/1").status_code == 200


@pytest.mark.parametrize(
    ("outage", "said", "mend"),
    [("starting_up", "starting up", "mends itself"), ("refuse", "refused", "PGHOST and PGPORT")],
)
def test_it_starts_while_the_database_is_away_says_so_and_serves_when_it_comes(
    proxy: FaultProxy, start: AppStarter, outage: str, said: str, mend: str
) -> None:
    getattr(proxy, outage)()
    gunicorn = start(WAKE_BUDGET="0.2")
    gunicorn.wait_until(lambda: said in describe_parts(gunicorn))
    assert not is_ready(gunicorn)
    assert re.search(f"Connecting failed: .*{mend}", gunicorn.output)
    assert mend not in gunicorn.get("/orders/1").text
    proxy.heal()
    gunicorn.wait_until(lambda: is_ready(gunicorn))
    assert gunicorn.get("/orders/1").status_code == 200


@pytest.mark.parametrize(
    ("breaking", "mending", "said", "mend"),
    [
        (
            "ALTER TABLE orders_synced RENAME TO elsewhere",
            "ALTER TABLE elsewhere RENAME TO orders_synced",
            "table is missing",
            "DEFAULT_POSTGRES_TABLE",
        ),
        (
            "REVOKE SELECT ON orders_synced FROM orders_app",
            "GRANT SELECT ON orders_synced TO orders_app",
            "grant is missing",
            'GRANT SELECT ON "public"."orders_synced" TO "orders_app"',
        ),
    ],
    ids=["table", "grant"],
)
def test_it_starts_without_table_or_grant_says_what_mends_it_and_serves_when_mended(
    database: OrdersDatabase, start: AppStarter, breaking: str, mending: str, said: str, mend: str
) -> None:
    database.execute(breaking)
    gunicorn = start()
    gunicorn.wait_until(lambda: said in describe_parts(gunicorn))
    assert mend in gunicorn.output
    assert gunicorn.get("/orders/1").json()["type"] == "/problems/database-not-set-up"
    database.execute(mending)
    assert gunicorn.get("/orders/1").status_code == 200
    assert describe_parts(gunicorn) == ""


def test_the_log_sets_the_connections_it_may_open_against_those_the_database_allows(
    start: AppStarter,
) -> None:
    fits, exceeds = start(), start(DB_MAX_OVERFLOW="198")
    for gunicorn, level in ((fits, "INFO"), (exceeds, "WARNING")):
        gunicorn.wait_for_output("Connections: ")
        [line] = [line for line in gunicorn.output.splitlines() if "Connections: " in line]
        assert level in line
        assert "200" in line


def test_a_server_with_no_connection_left_is_asked_for_half_as_many_and_those_there_are_serve_on(
    proxy: FaultProxy, start: AppStarter
) -> None:
    gunicorn = start(DB_POOL_SIZE="1", DB_MAX_OVERFLOW="7", WAKE_BUDGET="0.2")
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.too_many()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=16) as load:
        load.wait_for_each(20)
        turned_away = proxy.counts.turned_away
    assert load.failures() == {}
    assert 1 <= turned_away <= 4
    proxy.cut()
    assert_retryable(gunicorn.get("/orders/1"), "database-unavailable")
    assert "no connection left" in describe_parts(gunicorn)
    proxy.heal()
    gunicorn.wait_until(lambda: gunicorn.get("/orders/1").status_code == 200)


def test_a_write_on_a_demoted_node_is_answered_503_and_the_next_reaches_the_new_primary(
    database: OrdersDatabase, start: AppStarter
) -> None:
    only_reading = f"ALTER ROLE {ROLE} IN DATABASE {database.name} SET default_transaction_read_only = on"
    database.execute(only_reading)
    gunicorn = start(**ONE_CONNECTION)
    assert gunicorn.get("/orders/1").status_code == 200
    database.execute(only_reading.replace("= on", "= off"))
    assert_retryable(set_status(gunicorn, "P"), "database-unavailable")
    assert set_status(gunicorn, "P").status_code == 200
