"""How the service is doing, as it is told."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from flask.testing import FlaskClient

from lakebase_api.access import key_ring
from lakebase_api.app import get_service
from lakebase_api.http.status_schemas import ServerStatusSchema
from tests.access.keys import bear, create_key
from tests.conftest import AppOpener, OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.http.unopened import build_app
from tests.waiting import PATIENCE

RIGHTS = """
[roles]
reader = ["orders:read"]
watcher = ["service:observe"]
[callers]
"key:ann" = "reader"
"key:watcher" = "watcher"
"""
ASSETS = re.compile(r"""(?:src|href|from) ?=? ?["']([^"']+\.(?:css|js|svg))["']""")

Connect = Callable[..., FlaskClient]


@pytest.fixture
def connect(database: OrdersDatabase, open_app: AppOpener) -> Connect:
    """Makes a client of an app with more settings."""
    return lambda **settings: open_app({**database.environment, **settings}).test_client()


def ask(client: FlaskClient, **headers: str) -> Any:
    answer = client.get("/status.json", headers=headers)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert ServerStatusSchema().validate(answer.json or {}) == {}
    return answer.json


def test_it_is_told_to_those_with_the_right_alone(
    connect: Connect, database: OrdersDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "rights.toml"
    path.write_text(RIGHTS)
    client = connect(RIGHTS_FILE=str(path))
    ann, watcher = (create_key(database.environment, name) for name in ("ann", "watcher"))
    assert client.get("/status.json").status_code == 401
    assert client.get("/status.json", headers=bear(ann)).status_code == 403
    assert ask(client, **bear(watcher))["condition"] == "awake"


def test_requests_are_counted_but_not_those_for_the_status(connect: Connect) -> None:
    client = connect()
    for path in ("/orders/1", "/orders/1", "/orders/0", "/livez", "/status", "/status.json"):
        client.get(path)
    told = ask(client)
    assert told["traffic"]["total"]["requests"] == sum(told["traffic"]["requests"]) == 3
    [route] = told["routes"]
    assert (route["route"], route["refused"]) == ("GET /orders/{order_key}", 1)
    [problem] = told["problems"]
    assert (problem["status"], problem["problem"], problem["subject"]) == (404, "order-not-found", "local")
    assert told["callers"] == [{"subject": "local", "requests": 3, "limited": 0}]


def test_it_is_told_without_a_connection_and_while_the_database_cannot_be_reached(connect: Connect) -> None:
    client = connect()
    client.get("/orders/1")
    pool = get_service(client.application).lakebase.pool
    before = (pool.stats()["requests_num"], pool.asked_at)
    assert re.match(r"Awake: [01] of 4 connections in use\.", ask(client)["sentence"])
    assert (pool.stats()["requests_num"], pool.asked_at) == before
    assert ask(build_app().test_client())["condition"] == "starting"


def test_to_ask_for_it_with_a_key_again_and_again_does_not_ask_the_database_for_keys(
    connect: Connect, database: OrdersDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create_key(database.environment, "ann")
    client = connect(ANONYMOUS="off")
    pool = get_service(client.application).lakebase.pool
    ask(client, **bear(key))
    monkeypatch.setattr(key_ring, "FRESH", 0.0)
    asked_at = pool.asked_at
    ask(client, **bear(key))
    assert pool.asked_at == asked_at
    assert client.get("/me", headers=bear(key)).status_code == 200
    assert pool.asked_at > asked_at


def test_an_export_is_told_of_while_it_runs_with_its_rows_so_far(connect: Connect) -> None:
    client = connect()
    with client.get("/orders/export?format=csv", headers={"X-Request-Id": "mine"}) as export:
        pieces = iter(export.response)
        next(pieces)
        rows = next(pieces).count(b"\n")
        [running] = ask(client)["exports"]
        assert (running["table"], running["subject"], running["request_id"]) == ("orders", "local", "mine")
        assert running["rows"] == rows > 0
    assert ask(client)["exports"] == []


def test_who_is_limited_is_told_and_to_ask_takes_no_quota(connect: Connect) -> None:
    client = connect(TRUST_FORWARDED_IDENTITY="true", RATE_LIMIT="1/60")
    ann = {"X-Forwarded-User": "ann"}
    for _ in range(3):
        client.get("/orders/1", headers=ann)
    for _ in range(3):
        assert ask(client, **ann)["limited"] == [{"subject": "ann", "requests": 3, "limited": 2}]


@pytest.mark.slow
def test_a_worker_that_is_stuck_is_told_of_by_the_others(
    unchanged_database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    environment = {**unchanged_database.environment, "WEB_CONCURRENCY": "2"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    for _ in range(10):
        gunicorn.get("/orders/1")
    told = gunicorn.get("/status.json").json()
    assert told["traffic"]["total"]["requests"] == 10
    [stuck, _] = told["workers"]
    os.kill(stuck["pid"], signal.SIGSTOP)
    try:
        # By a connection of its own: the stuck one may have that of the session.
        told = requests.get(f"{gunicorn.url}/status.json", timeout=PATIENCE).json()
    finally:
        os.kill(stuck["pid"], signal.SIGCONT)
    assert told["workers"][0] == {"number": 0, "is_silent": True}
    assert (told["workers"][1]["is_silent"], told["condition"]) == (False, "awake")


def test_the_page_runs_nothing_but_files_of_this_host(connect: Connect) -> None:
    page = connect().get("/status")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=|//", page.text)


@pytest.mark.parametrize("told", ["/shop", None])
@pytest.mark.parametrize("base", ["", "/api/v1"])
@pytest.mark.parametrize("path", ["/status", "/", "/problems", "/problems/not-found"])
def test_pages_find_what_they_are_made_of_below_a_path_of_a_proxy(
    path: str, base: str, told: str | None
) -> None:
    client = build_app(FORWARDED_HOPS="1").test_client()
    headers = {"Accept": "text/html", **({"X-Forwarded-Prefix": told} if told else {})}
    found = ASSETS.findall(client.get(base + path, headers=headers).text)
    assert found
    # Where the proxy says nothing of it, it is there all the same.
    for link in (urljoin(f"/shop{base}{path}", each) for each in found):
        assert link.startswith(f"/shop{base}/pages/"), link
        with client.get(link.removeprefix("/shop")) as asset:
            assert asset.status_code == 200, link


def test_scripts_import_files_that_are_there() -> None:
    client = build_app().test_client()
    waiting, seen = ["/pages/status.js"], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        with client.get(path) as asset:
            assert (asset.status_code, asset.mimetype) == (200, "text/javascript"), path
            imported = {urljoin(path, each) for each in ASSETS.findall(asset.get_data(as_text=True))}
        waiting.extend(imported - seen)
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("settings", "takes"), [({"ANONYMOUS": "off"}, "yes"), ({"DATABRICKS_APP_NAME": "a"}, "no")]
)
def test_the_page_takes_a_key_where_keys_are_looked_at(settings: dict[str, str], takes: str) -> None:
    page = build_app(**settings).test_client().get("/status?o=4711")
    assert (page.status_code, f'data-takes-key="{takes}"' in page.text) == (200, True)
