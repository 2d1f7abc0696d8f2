"""Keys as people use them: made by the command, and sent to the real server."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from lakebase_api.access.api_keys import digest
from tests.access.keys import bear, create_key, revoke_key, rotate_key
from tests.conftest import AppOpener, OrdersDatabase
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.orders.changing import read
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

Starter = Callable[[dict[str, str]], GunicornProcess]


def run_keys(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as at a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "lakebase_api", "keys", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_key_is_the_last_line_of_the_command_and_is_let_in_by_all_workers(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    made = run_keys(database.environment, "create", "till", "--days", "90")
    assert made.returncode == 0
    [key] = made.stdout.splitlines()
    assert "key:till" in made.stderr
    assert key not in made.stderr
    again = run_keys(database.environment, "create", "till")
    assert (again.returncode, again.stdout) == (1, "")
    assert key[4:12] in run_keys(database.environment, "list").stdout
    settings = {**database.environment, "ANONYMOUS": "off", "LOG_LEVEL": "DEBUG", "WEB_CONCURRENCY": "2"}
    gunicorn = start_gunicorn(settings).wait_until_started()
    assert {gunicorn.get("/orders/1", **bear(key)).status_code for _ in range(10)} == {200}
    refused = gunicorn.get("/orders/1", **bear(key[:-1] + "x"))
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith(
        'Bearer realm="lakebase-api", error="invalid_token"'
    )
    posted = gunicorn.session.post(f"{gunicorn.url}/orders/1/status", data=b"x" * 1_000_000, timeout=PATIENCE)
    assert posted.status_code == 401
    for secret in (key, key[13:], digest(key).hex(), repr(digest(key))[2:-1]):
        assert secret not in gunicorn.output


def test_keys_stay_good_while_the_database_is_away_and_of_others_nothing_is_known(
    database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    key = run_keys(database.environment, "create", "till").stdout.strip()
    other = run_keys(database.environment, "create", "other").stdout.strip()
    revoke_key(database.environment, "other")
    environment = {**database.environment, "ANONYMOUS": "off", "WAKE_BUDGET": "0.5"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    assert gunicorn.get("/", **bear(key)).status_code == 200
    database.execute("ALTER ROLE orders_app NOLOGIN")
    try:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orders_app'"
        )
        assert gunicorn.get("/", **bear(key)).status_code == 200
        assert gunicorn.get("/orders/1", **bear(key)).status_code == 503
        assert gunicorn.get("/", **bear(other)).status_code == 401
        asleep = start_gunicorn(environment).wait_until_started()
        answer = asleep.get("/", **bear(key))
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/authentication-unavailable")
    finally:
        database.execute("ALTER ROLE orders_app LOGIN")


def test_what_is_done_with_keys_is_audited_without_the_key(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app(database.environment).test_client()
    assert client.get("/orders/1").status_code == 200
    keys = [create_key(database.environment, "till"), rotate_key(database.environment, "till")]
    revoke_key(database.environment, "till")
    events = read(client, "/audit?sort=id&subject=orders_app")["audit"]
    assert [event["action"] for event in events] == ["key-create", "key-rotate", "key-revoke"]
    assert [event["detail"].get("key") for event in events] == [keys[0][4:12], keys[1][4:12], None]
    assert {(event["method"], event["detail"]["name"]) for event in events} == {("database", "till")}
    assert not any(key[13:] in str(events) for key in keys)
