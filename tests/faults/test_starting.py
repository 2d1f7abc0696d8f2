"""What the service says at its start, and how it starts while something is missing."""

import re

import pytest

from tests.conftest import OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.faults.service import AppStarter, describe_parts, is_ready

pytestmark = pytest.mark.slow


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
    gunicorn.wait_for_output(mend)
    assert gunicorn.get("/orders/1").json()["type"] == "/problems/database-not-set-up"
    database.execute(mending)
    assert gunicorn.get("/orders/1").status_code == 200
    assert describe_parts(gunicorn) == ""


def test_too_few_threads_for_the_pool_and_its_queue_are_named_in_the_log(start: AppStarter) -> None:
    gunicorn = start(WEB_THREADS="4")
    assert re.search("WARNING.*WEB_THREADS", gunicorn.output)


def test_the_log_sets_the_connections_it_may_open_against_those_the_database_allows(
    start: AppStarter,
) -> None:
    fits, exceeds = start(), start(DB_MAX_OVERFLOW="198")
    for gunicorn, level in ((fits, "INFO"), (exceeds, "WARNING")):
        gunicorn.wait_for_output("Connections: ")
        [line] = [line for line in gunicorn.output.splitlines() if "Connections: " in line]
        assert level in line
        assert "200" in line
