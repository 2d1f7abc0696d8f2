"""What the doctor says of the file of rights."""

from pathlib import Path
from typing import Any

import pytest

from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase.findings import Check, State
from tests.conftest import OrdersDatabase

ROLES = """
[roles]
reader = ["orders:read"]
writer = ["orders:change"]
[callers]
"*" = "reader"
"claim:group=sales" = "writer"
"""


@pytest.fixture
def examine(unchanged_database: OrdersDatabase, tmp_path: Path) -> Any:
    """The checks of rights that are in a file of this text."""

    def examine_text(text: str, **settings: str) -> list[Check]:
        path = tmp_path / "rights.toml"
        path.write_text(text)
        environment = {**unchanged_database.environment, "RIGHTS_FILE": str(path), **settings}
        return [check for check in run_checks(environment) if check.name == "rights"]

    return examine_text


def test_good_rights_are_told_with_what_strangers_may(examine: Any) -> None:
    [check] = examine(ROLES)
    assert (check.state, check.says) == (State.OK, "2 roles, strangers may do nothing")
    [check] = examine(ROLES, ANONYMOUS="read")
    assert (check.state, check.says) == (State.OK, "2 roles, strangers may read all tables")


def test_without_a_file_whoever_is_known_may_do_everything(examine: Any) -> None:
    [check] = examine("", RIGHTS_FILE="", ANONYMOUS="off")
    assert check.says == "whoever is known may do everything, strangers may do nothing"
    assert examine("", RIGHTS_FILE="") == []


def test_each_mistake_is_told_with_its_line(examine: Any) -> None:
    checks = examine(ROLES.replace("orders:read", "orders:red").replace('"writer"', '"riter"'))
    assert [check.state for check in checks] == [State.FAILED] * 2
    assert "line 3: roles.reader[0]: orders:red is no right" in checks[0].says
    assert 'line 7: callers."claim:group=sales"[0]: riter is none of the roles' in checks[1].says
    assert checks[0].mend.endswith("rights.toml line 3")


def test_a_file_that_is_not_there_is_told(examine: Any) -> None:
    [check] = examine("", RIGHTS_FILE="/nowhere/rights.toml")
    assert (check.state, check.mend) == (State.FAILED, "Correct RIGHTS_FILE")


def test_roles_that_nobody_has_are_told_unless_tokens_may_name_them(examine: Any) -> None:
    text = ROLES.replace('"claim:group=sales" = "writer"\n', "")
    [check] = examine(text)
    assert (check.state, check.says) == (
        State.ADVICE,
        "2 roles, strangers may do nothing; nobody has writer",
    )
    tokens = {"JWT_ISSUER": "http://127.0.0.1:9", "JWT_AUDIENCE": "orders", "JWT_ROLES_CLAIM": "scope"}
    [check] = examine(text, **tokens)
    assert check.state is State.OK


def test_strangers_who_may_see_what_roles_leave_out_are_told(examine: Any) -> None:
    text = f'{ROLES}[hidden.orders]\nreader = ["o_comment"]\n'
    [check] = examine(text)
    assert check.state is State.OK
    [check] = examine(text, ANONYMOUS="read")
    assert check.state is State.ADVICE
    assert "also the rows and columns that roles leave out" in check.says
