"""Rotation proved by logins: each token is a real password that really expires."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from flask import Flask

from lakebase_api.app import get_service
from lakebase_api.http.logs import RequestIdFilter
from tests.conftest import AppOpener
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

KINDS = ["autoscaling", "provisioned"]
THREADS = 8
REQUESTS = 1000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("identity", ["user", "service_principal"])
def test_orders_are_served_from_each_kind_of_lakebase_for_each_kind_of_identity(
    lakebase: LakebaseStandIn, open_app: AppOpener, kind: str, identity: str
) -> None:
    app = open_app(lakebase.environment(kind, getattr(lakebase.workspace, identity)))
    assert app.test_client().get("/orders/1").status_code == 200
    assert lakebase.workspace.logins_refused == 0


@pytest.mark.parametrize("kind", KINDS)
def test_many_requests_run_without_a_failure_while_tokens_expire_and_connections_are_recycled(
    lakebase: LakebaseStandIn, start_gunicorn: Callable[[dict[str, str]], GunicornProcess], kind: str
) -> None:
    lakebase.workspace.token_life = 3.0
    environment = {**lakebase.environment(kind), "DB_POOL_RECYCLE_INTERVAL": "1", "LOG_LEVEL": "INFO"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    statuses: list[int] = []
    rotated = threading.Event()

    def ask(_: int) -> None:
        while len(statuses) < REQUESTS or not rotated.is_set():
            statuses.append(gunicorn.get("/orders/1").status_code)

    with ThreadPoolExecutor(THREADS) as threads:
        asking = [threads.submit(ask, number) for number in range(THREADS)]
        lakebase.workspace.wait_for_mints(4)
        rotated.set()
        for one in asking:
            one.result()
    assert len(statuses) >= REQUESTS
    assert set(statuses) == {200}
    assert lakebase.workspace.logins_accepted > 10
    assert lakebase.workspace.logins_refused == 0
    # The workspace has given the last of them before the log says so.
    wait_until(lambda: gunicorn.output.count("Background token refresh: Token updated successfully") >= 4)


def test_a_failing_workspace_is_not_noticed_while_the_token_lives(
    lakebase: LakebaseStandIn, open_app: AppOpener
) -> None:
    environment = {**lakebase.environment(), "TOKEN_REFRESH_INTERVAL": "1", "DB_POOL_RECYCLE_INTERVAL": "1"}
    client = open_app(environment).test_client()
    assert client.get("/orders/1").status_code == 200
    lakebase.workspace.fail("credentials", 500)
    lakebase.workspace.events.wait_for("fault", 2)
    assert client.get("/orders/1").status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.fixture
def all_output() -> Iterator[StringIO]:
    """Everything any logger says, at DEBUG, tracebacks included."""
    output = StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    handler.addFilter(RequestIdFilter())
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.root.addHandler(handler)
    yield output
    logging.root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def add_crashing_route(app: Flask) -> None:
    """A bug that strikes while the request holds a connection."""

    def divide(connection: object) -> float:
        return 1 / 0

    app.add_url_rule("/crash", view_func=lambda: str(get_service(app).lakebase.database.read(divide)))


@pytest.mark.parametrize(
    ("kind", "identity"), [("autoscaling", "service_principal"), ("provisioned", "user")]
)
def test_no_secret_is_ever_logged_not_even_at_debug_when_all_goes_wrong(
    lakebase: LakebaseStandIn,
    open_app: AppOpener,
    all_output: StringIO,
    kind: str,
    identity: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABRICKS_DEBUG_TRUNCATE_BYTES", "10000")
    workspace = lakebase.workspace
    workspace.token_life = 1.5
    environment = lakebase.environment(kind, getattr(workspace, identity))
    app = open_app({**environment, "DB_POOL_RECYCLE_INTERVAL": "1", "WAKE_BUDGET": "0"})
    logging.getLogger("databricks.sdk").setLevel(logging.DEBUG)
    add_crashing_route(app)
    client = app.test_client()
    workspace.wait_for_mints(2)
    assert client.get("/orders/1").status_code == 200
    for how in ("no_expiry", "already_expired", "html"):
        workspace.malform("credentials", how, times=1)
        workspace.events.wait_for("fault", workspace.events.count("fault") + 1)
    # With a good token again: no connection may have been left.
    wait_until(lambda: client.get("/crash").status_code == 500)
    workspace.revoke_all()
    with lakebase.without_server():
        assert client.get("/orders/1").status_code == 503
    shown = all_output.getvalue() + repr(app.extensions) + str(sys.exc_info())
    assert "Background token refresh: Token updated successfully" in shown
    assert "ZeroDivisionError" in shown
    assert workspace.leaked_in(shown) == []
