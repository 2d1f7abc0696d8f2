from pathlib import Path

import pytest

from lakebase_api.doctor import examination
from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase.findings import Check, State
from tests.doctor.conftest import APP, PERSON, Shop
from tests.lakebase_stand_in import LakebaseStandIn

STEPS = "settings access workspace token host TLS login database"
RIGHTS = "schema table columns index filters status_changes max_connections api_keys audit usage growth"
ORDER = [*STEPS.split(), *RIGHTS.split()]


def find(checks: list[Check], state: State) -> list[str]:
    return [check.name for check in checks if check.state is state]


def test_everything_is_checked_in_order(shop: Shop) -> None:
    checks = list(run_checks(shop.environment))
    assert [check.name for check in checks] == ORDER
    assert find(checks, State.OK) == ORDER


def test_changing_the_table_itself_is_a_check_of_its_own(shop: Shop) -> None:
    checks = list(run_checks({**shop.environment, "STATUS_WRITES": "direct"}))
    assert find(checks, State.FAILED) == ["update"]


def test_broken_settings_are_listed_by_name_and_the_rest_is_not_checked(shop: Shop) -> None:
    wrong = {"PGPORT": "0", "WEB_THREADS": "none", "ENV_FILE": "/no/such/file"}
    checks = list(run_checks({**shop.environment, **wrong}))
    faults = [check.says for check in checks if check.state is State.FAILED]
    assert [says.partition(":")[0] for says in faults] == ["ENV_FILE", "PGPORT", "WEB_THREADS"]
    assert find(checks, State.NOT_CHECKED) == ORDER[2:-4]


def test_no_settings_at_all_are_said_to_be_missing() -> None:
    checks = list(run_checks({"ENV_FILE": "/dev/null"}))
    assert find(checks, State.FAILED) == ["settings"]
    assert find(checks, State.NOT_CHECKED) == ORDER[2:-4]


def test_settings_that_connecting_does_not_need_may_be_broken(shop: Shop) -> None:
    checks = list(run_checks({**shop.environment, "LOG_LEVEL": "LOUD"}))
    assert find(checks, State.FAILED) == ["settings"]
    assert find(checks, State.OK) == ORDER[1:]
    checks = list(run_checks({**shop.environment, "DB_POOL_SIZE": "many"}))
    assert find(checks, State.FAILED) == ["settings"]
    assert find(checks, State.NOT_CHECKED) == ["max_connections"]


def test_without_a_connection_nothing_more_is_checked(shop: Shop) -> None:
    checks = list(run_checks({**shop.environment, "PGPASSWORD": "hunter2-hunter2"}))
    assert find(checks, State.FAILED) == ["login"]
    assert find(checks, State.NOT_CHECKED) == ORDER[7:]
    assert "hunter2" not in str(checks)


def test_what_nobody_thought_of_in_the_database_is_a_check_and_no_traceback(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> list[Check]:
        raise KeyError(b"r")  # as over the kind of a table in another encoding

    monkeypatch.setattr(examination.Examination, "examine", stumble)
    [check] = [check for check in run_checks(shop.environment) if check.state is State.FAILED]
    assert check.name == "catalogues"
    assert check.says == "what the database holds could not be read: KeyError: b'r'"


def test_a_person_is_told_that_the_rights_are_not_those_of_the_app(lakebase: LakebaseStandIn) -> None:
    environment = lakebase.environment(identity=lakebase.workspace.user)
    [check] = [check for check in run_checks(environment) if check.name == "role"]
    assert check.state is State.NOT_CHECKED
    assert lakebase.workspace.user.name in check.says
    assert "--role <the app's client id>" in check.says


def test_the_rights_of_another_role_are_shown_in_place_of_ones_own(shop: Shop) -> None:
    checks = list(run_checks({**shop.environment, "PGUSER": PERSON}, APP))
    assert find(checks, State.FAILED) == []
    assert "role" in find(checks, State.OK)
    own = list(run_checks({**shop.environment, "PGUSER": PERSON}))
    assert find(own, State.FAILED) == ["table"]


def test_mistakes_in_the_declared_tables_are_listed_by_line_and_the_rest_is_not_checked(
    shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "tables.toml"
    file.write_text('[orders]\nsorce = "public.orders_synced"\n')
    checks = list(run_checks({**shop.environment, "TABLES_FILE": str(file)}))
    told = [check for check in checks if check.state is State.FAILED]
    assert {check.name for check in told} == {"tables"}
    assert f"{file} line 2: orders.sorce: is not known here; did you mean `source`?" in told[-1].says
    assert find(checks, State.NOT_CHECKED) == [*STEPS.split()[2:], "max_connections"]
