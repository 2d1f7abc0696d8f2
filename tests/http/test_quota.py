"""Quotas as callers meet them."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.gunicorn_process import STARTED, GunicornProcess
from tests.waiting import PATIENCE

BY_PROXY = {"TRUST_FORWARDED_IDENTITY": "true"}
ANN, BOB = {"X-Forwarded-User": "ann"}, {"X-Forwarded-User": "bob"}
RIGHTS = """
[roles]
reader = ["orders:read"]
exporter = ["orders:read", "orders:export"]
[callers]
ann = "reader"
bob = ["reader", "exporter"]
[limits]
reader = "20/60"
exporter = "40/60"
"""

Connect = Callable[..., FlaskClient]


@pytest.fixture
def connect(unchanged_database: OrdersDatabase, open_app: AppOpener) -> Connect:
    """Makes a client of an app with more settings."""
    return lambda **settings: open_app({**unchanged_database.environment, **settings}).test_client()


def left(client: FlaskClient, path: str, headers: dict[str, str]) -> int:
    """What the answer says is left, the path having been served."""
    answer = client.get(path, headers=headers)
    assert answer.status_code in (200, 304), answer.text
    _ = answer.data
    found = re.fullmatch(r'"[\w-]+";r=([0-9]+);t=([0-9]+)', answer.headers["RateLimit"])
    assert found
    return int(found[1])


def test_without_a_quota_nothing_is_said_of_one(connect: Connect) -> None:
    assert "RateLimit" not in connect().get("/orders/1").headers


def test_who_has_nothing_left_is_told_when_to_come_again(connect: Connect) -> None:
    client = connect(**BY_PROXY, RATE_LIMIT="3/60")
    assert [left(client, "/orders/1", ANN) for _ in range(3)] == [2, 1, 0]
    refused = client.get("/orders/1", headers=ANN)
    assert refused.status_code == 429
    assert refused.json is not None
    assert refused.json["type"] == "/problems/quota-exceeded"
    assert refused.json["violated-policies"] == ["caller"]
    assert refused.headers["RateLimit-Policy"] == '"caller";q=3;w=60'
    found = re.fullmatch(r'"caller";r=0;t=([0-9]+)', refused.headers["RateLimit"])
    assert found
    assert int(refused.headers["Retry-After"]) >= int(found[1])
    assert left(client, "/orders/1", BOB) == 2


def test_rows_and_exact_counts_cost_more_than_a_request(connect: Connect) -> None:
    client = connect(**BY_PROXY, RATE_LIMIT="100/60")
    assert left(client, "/orders/1", ANN) == 99
    assert left(client, "/orders/stream?page_size=200", ANN) == 96
    assert left(client, "/orders/count?o_orderstatus=F", ANN) == 86


def test_an_export_costs_its_rows_once_it_has_ended(connect: Connect) -> None:
    client = connect(**BY_PROXY, RATE_LIMIT="1000/60")
    with client.get("/orders/export?format=csv&header=false", headers=ANN) as export:
        rows = len(export.data.splitlines())
    assert left(client, "/orders/1", ANN) == int(1000 - 1 - rows / 100 - 1)


def test_probes_documentation_and_what_watches_the_service_are_free(connect: Connect) -> None:
    client = connect(**BY_PROXY, RATE_LIMIT="1/60")
    for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/status.json", "/metrics", "/livez"):
        answer = client.get(path, headers=ANN)
        assert (answer.status_code, "RateLimit" in answer.headers) == (200, False)


def test_a_role_says_how_much_its_callers_may_ask_for(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "rights.toml"
    path.write_text(RIGHTS)
    client = connect(**BY_PROXY, RATE_LIMIT="5/60", RIGHTS_FILE=str(path))
    assert left(client, "/orders/1", ANN) == 19
    assert left(client, "/orders/1", BOB) == 39
    me = client.get("/me", headers=BOB).json
    assert me is not None
    assert me["quota"] == {"quota": 40, "seconds": 60, "left": 38}


def test_who_sends_wrong_keys_without_end_is_told_to_wait(connect: Connect) -> None:
    client = connect(ANONYMOUS="read")
    wrong = {"Authorization": "Bearer lbk_wrong"}
    statuses = [client.get("/orders/1", headers=wrong).status_code for _ in range(601)]
    assert statuses == [401] * 600 + [429]
    assert client.get("/orders/1").status_code == 200


@pytest.mark.slow
def test_the_workers_of_a_host_count_together(unchanged_database: OrdersDatabase) -> None:
    environment = {**unchanged_database.environment, **BY_PROXY, "RATE_LIMIT": "200/600"}
    with GunicornProcess({**environment, "WEB_CONCURRENCY": "4"}) as gunicorn:
        gunicorn.wait_for_output(STARTED, 4)

        def ask(_: int) -> int:
            return requests.get(f"{gunicorn.url}/orders/1", headers=ANN, timeout=PATIENCE).status_code

        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(ask, range(260)))
    assert (statuses.count(200), statuses.count(429)) == (200, 60)
