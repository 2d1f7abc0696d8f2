"""Every step of logging in, broken in turn: which check fails, and what is said to mend it."""

import threading
from pathlib import Path

import pytest

from lakebase_api.doctor.login import STEPS, log_in
from lakebase_api.environment import load_settings
from lakebase_api.lakebase.findings import Check, State
from tests.doctor.conftest import APP, Shop
from tests.lakebase_stand_in import LakebaseStandIn
from tests.waiting import wait_until

STATES = {State.OK: "+", State.FAILED: "x", State.NOT_CHECKED: "-"}
FREE_PORT = "9"


def walk(environment: dict[str, str]) -> list[Check]:
    """The checks of logging in; the connection is closed."""
    checks = []
    steps = log_in(load_settings(environment))
    while True:
        try:
            checks.append(next(steps))
        except StopIteration as end:
            if end.value is not None:
                end.value.close()
            return checks


def marks(checks: list[Check]) -> str:
    assert tuple(check.name for check in checks) == STEPS
    return "".join(STATES[check.state] for check in checks)


def fault(checks: list[Check]) -> Check:
    [check] = [check for check in checks if check.state is State.FAILED]
    return check


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
def test_all_steps_go_well(lakebase: LakebaseStandIn, kind: str) -> None:
    checks = walk(lakebase.environment(kind))
    assert marks(checks) == "++++++"
    assert lakebase.workspace.service_principal.name in checks[0].says
    assert not lakebase.workspace.leaked_in(str(checks))


def test_a_database_with_a_password_needs_no_workspace(shop: Shop) -> None:
    checks = walk(shop.environment)
    assert marks(checks) == "++++++"
    assert checks[0].says == "not needed, since PGPASSWORD is set"
    assert checks[3].says == "not in use, PGSSLMODE is disable"


def test_who_asks_for_no_more_steps_leaves_no_connection_open(shop: Shop) -> None:
    steps = log_in(load_settings({**shop.environment, "PGAPPNAME": "leaving"}))
    while next(steps).name != "login":
        pass
    sessions = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'leaving'"
    assert shop.execute(sessions)
    steps.close()
    wait_until(lambda: not shop.execute(sessions))


@pytest.mark.parametrize(
    ("change", "states", "mend"),
    [
        ({"PGPORT": FREE_PORT}, "++x---", "Correct PGHOST and PGPORT"),
        ({"PGHOST": "/no/such/folder"}, "++x---", "Correct PGHOST and PGPORT"),
        ({"PGSSLMODE": "require"}, "+++x--", "PGSSLMODE=disable"),
        ({"PGPASSWORD": "wrong"}, "++++x-", "Correct PGUSER"),
        ({"PGUSER": "nobody-known"}, "++++x-", "Correct PGUSER"),
        ({"PGDATABASE": "nothing"}, "+++++x", "Set PGDATABASE"),
    ],
    ids=["port", "folder", "TLS", "password", "role", "database"],
)
def test_the_step_that_fails_is_named_with_its_setting(
    shop: Shop, change: dict[str, str], states: str, mend: str
) -> None:
    checks = walk({**shop.environment, **change})
    assert marks(checks) == states
    assert mend in fault(checks).mend


def test_the_grant_to_connect_is_missed_and_mended(shop: Shop) -> None:
    shop.execute(f'REVOKE CONNECT ON DATABASE {shop.database.name} FROM "{APP}"')
    checks = walk(shop.environment)
    assert marks(checks) == "+++++x"
    shop.mend(fault(checks))
    assert marks(walk(shop.environment)) == "++++++"


def test_a_role_that_may_not_log_in_is_mended(shop: Shop) -> None:
    shop.execute(f'ALTER ROLE "{APP}" NOLOGIN')
    try:
        checks = walk(shop.environment)
        assert marks(checks) == "++++x-"
        shop.mend(fault(checks))
        assert marks(walk(shop.environment)) == "++++++"
    finally:
        shop.execute(f'ALTER ROLE "{APP}" LOGIN')


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"PGSSLMODE": "verify-full"}, "PGSSLROOTCERT"),
        ({"PGSSLMODE": "verify-full", "PGHOST": "127.0.0.1"}, "PGHOST"),
    ],
    ids=["authority", "host name"],
)
def test_a_certificate_that_is_not_accepted_is_a_fault_of_tls(
    lakebase: LakebaseStandIn, tmp_path: Path, change: dict[str, str], mend: str
) -> None:
    if "PGHOST" in change:
        change = {**change, "PGSSLROOTCERT": str(lakebase.proxy.write_authority(tmp_path / "ca.pem"))}
    checks = walk({**lakebase.environment(), **change})
    assert marks(checks) == "+++x--"
    assert mend in fault(checks).mend


def test_a_database_that_wakes_up_is_waited_for_as_the_app_does(lakebase: LakebaseStandIn) -> None:
    lakebase.proxy.starting_up()
    checks = walk({**lakebase.environment(), "WAKE_BUDGET": "0"})
    assert marks(checks) == "++++x-"
    assert "starting up" in fault(checks).says
    healing = threading.Timer(0.6, lakebase.proxy.heal)
    healing.start()
    assert marks(walk(lakebase.environment())) == "++++++"
    healing.join()


def test_a_server_without_a_connection_left_is_told_from_one_that_refuses(
    lakebase: LakebaseStandIn,
) -> None:
    lakebase.proxy.too_many()
    checks = walk({**lakebase.environment(), "WAKE_BUDGET": "0"})
    assert marks(checks) == "++++x-"
    assert "DB_POOL_SIZE" in fault(checks).mend


def test_a_token_that_is_refused_points_to_the_role(lakebase: LakebaseStandIn) -> None:
    checks = walk({**lakebase.environment(), "PGUSER": "another"})
    assert marks(checks) == "++++x-"
    assert "Correct PGUSER" in fault(checks).mend
    assert fault(checks).sql[-1] == "SELECT databricks_create_role('another', 'SERVICE_PRINCIPAL')"


@pytest.mark.parametrize(
    ("change", "states", "mend"),
    [
        ({"DATABRICKS_CLIENT_SECRET": "wrong"}, "x-----", "DATABRICKS_CLIENT_SECRET"),
        ({"DATABRICKS_HOST": "http://127.0.0.1:9"}, "x-----", "DATABRICKS_HOST"),
        ({"DATABRICKS_TOKEN": "t", "DATABRICKS_CLIENT_SECRET": ""}, "x-----", "Unset DATABRICKS_TOKEN"),
        ({"LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e"}, "+x----", "LAKEBASE_ENDPOINT"),
    ],
    ids=["secret", "host", "two logins", "endpoint"],
)
def test_what_the_workspace_refuses_is_named_with_its_setting(
    lakebase: LakebaseStandIn, change: dict[str, str], states: str, mend: str
) -> None:
    checks = walk({**lakebase.environment(), **change})
    assert marks(checks) == states
    assert mend in fault(checks).mend
    assert not lakebase.workspace.leaked_in(str(checks))


def test_a_workspace_that_gives_a_token_but_no_host_is_told_apart(lakebase: LakebaseStandIn) -> None:
    lakebase.workspace.fail("lookup", 403)
    checks = walk(lakebase.environment())
    assert marks(checks) == "x+----"
    assert "the database host" in fault(checks).says
