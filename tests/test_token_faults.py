"""What a client sees of a workspace that fails: the real server on the stand-in for Lakebase."""

from collections.abc import Callable

import pytest

from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import Load, get

pytestmark = pytest.mark.slow

Starter = Callable[[dict[str, str]], GunicornProcess]

FAILED = "Background token refresh: failed"


def break_workspace(lakebase: LakebaseStandIn, how: str) -> None:
    """Let the control plane answer with an error status, not at all, or not be there."""
    if how == "unreachable":
        lakebase.workspace.refuse_connections()
    elif how == "hanging":
        lakebase.workspace.hang("credentials")
    else:
        lakebase.workspace.fail("credentials", int(how))


@pytest.mark.slow
def test_no_request_fails_while_the_workspace_does_and_the_token_lives(
    lakebase: LakebaseStandIn, start_gunicorn: Starter
) -> None:
    """Connections are opened all the time, so that the old token is needed."""
    environment = {
        **lakebase.environment(),
        "TOKEN_REFRESH_INTERVAL": "1",
        "DB_POOL_RECYCLE_INTERVAL": "1",
    }
    gunicorn = start_gunicorn(environment).wait_until_started()
    workspace = lakebase.workspace
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=4) as load:
        load.wait_for_each(2)
        for how in ("429", "hanging", "unreachable"):
            failures = gunicorn.output.count(FAILED)
            break_workspace(lakebase, how)
            if how == "hanging":
                workspace.events.wait_for("hung", 1)
            else:
                gunicorn.wait_for_output(FAILED, times=failures + 1)
            logins = workspace.logins_accepted
            workspace.events.wait_for("login_accepted", logins + 1)
            workspace.heal()
        load.wait_for_each(2)
    assert load.failures() == {}


def test_a_workspace_that_fails_longer_than_the_token_lives_is_named_and_its_return_is_found(
    lakebase: LakebaseStandIn, start_gunicorn: Starter
) -> None:
    lakebase.workspace.token_life = 2
    gunicorn = start_gunicorn({**lakebase.environment(), "WAKE_BUDGET": "0.2"}).wait_until_started()
    assert gunicorn.get("/orders/1").status_code == 200
    break_workspace(lakebase, "403")
    gunicorn.wait_for_output(FAILED)
    gunicorn.wait_until(lambda: gunicorn.get("/readyz?verbose").json()["parts"]["token"] != "ok")
    lakebase.proxy.cut()
    answer = gunicorn.get("/orders/1")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert gunicorn.get("/readyz").status_code == 503
    assert "fault is switched on" in gunicorn.output
    lakebase.workspace.heal()
    gunicorn.wait_until(lambda: gunicorn.get("/readyz").status_code == 200)
    assert gunicorn.get("/orders/1").status_code == 200


@pytest.mark.slow
def test_a_token_that_is_refused_though_it_lives_is_replaced_once_and_no_read_fails(
    lakebase: LakebaseStandIn, start_gunicorn: Starter
) -> None:
    gunicorn = start_gunicorn(lakebase.environment()).wait_until_started()
    with Load(gunicorn.port, lambda: get("/orders/1"), clients=16) as load:
        load.wait_for_each(2)
        mints = lakebase.workspace.mints
        lakebase.workspace.revoke_all()
        lakebase.proxy.cut()
        load.wait_for_each(2)
    assert load.failures() == {}
    assert lakebase.workspace.logins_refused >= 1
    assert lakebase.workspace.mints == mints + 1
