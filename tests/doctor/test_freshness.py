"""Whether the workspace lets the service see its synced tables, and what is to be granted if not."""

from pathlib import Path

import pytest

from lakebase_api.doctor.freshness import FRESHNESS, judge_freshness
from lakebase_api.doctor.report import run_checks
from lakebase_api.environment import load_settings
from lakebase_api.lakebase import workspace as workspace_module
from lakebase_api.lakebase.findings import Check, State
from lakebase_api.table.loading import load_tables
from tests.doctor.conftest import Shop
from tests.lakebase_stand_in import LakebaseStandIn
from tests.stand_in import SyncedTable
from tests.tables.trial import DECLARED

KINDS = pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
NAME = "main.shop.orders"
GRANTS = (
    "GRANT USE CATALOG ON CATALOG `main` TO `{role}`",
    "GRANT USE SCHEMA ON SCHEMA `main`.`shop` TO `{role}`",
    "GRANT SELECT ON TABLE `main`.`shop`.`orders` TO `{role}`",
)


def judge(environment: dict[str, str], role: str | None = None) -> list[Check]:
    settings = load_settings(environment)
    return list(judge_freshness(settings, load_tables(settings), role))


@KINDS
def test_doctor_tries_the_call_and_says_what_it_found(lakebase: LakebaseStandIn, kind: str) -> None:
    lakebase.workspace.synced_tables[NAME] = SyncedTable()
    checks = list(run_checks({**lakebase.environment(kind), "SYNCED_TABLE": NAME}))
    assert (checks[-1].name, checks[-1].state) == (FRESHNESS, State.OK)
    assert checks[-1].line == (
        f"freshness: {NAME} has version 4711 of 2026-11-26 11:58:03 UTC. "
        "Nothing newer exists in the source, however old the data is"
    )
    assert lakebase.workspace.synced_table_requests == 1


@KINDS
@pytest.mark.parametrize("status", [403, 404])
def test_what_may_not_be_seen_comes_with_the_grants(
    lakebase: LakebaseStandIn, kind: str, status: int
) -> None:
    if status == 403:
        lakebase.workspace.fail("synced_table", 403)
    [check] = judge({**lakebase.environment(kind), "SYNCED_TABLE": NAME})
    assert check.state is State.FAILED
    assert check.mend.startswith("Correct SYNCED_TABLE; or whoever may grant it runs")
    role = lakebase.workspace.service_principal.name
    assert check.sql == tuple(grant.format(role=role) for grant in GRANTS)
    assert not lakebase.workspace.leaked_in(check.line)


def test_a_workspace_that_does_not_answer_leaves_it_open(
    lakebase: LakebaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 0.3)
    environment = {**lakebase.environment(), "SYNCED_TABLE": NAME}
    lakebase.workspace.fail("synced_table", 500)
    [refused] = judge(environment)
    lakebase.workspace.hang("synced_table")
    [unanswered] = judge(environment)
    assert (refused.state, unanswered.state) == (State.NOT_CHECKED, State.NOT_CHECKED)


def test_a_pipeline_that_failed_is_to_be_looked_at(lakebase: LakebaseStandIn) -> None:
    lakebase.workspace.synced_tables[NAME] = SyncedTable("ONLINE_PIPELINE_FAILED")
    [check] = judge({**lakebase.environment(), "SYNCED_TABLE": NAME})
    assert check.state is State.ADVICE
    assert "the last sync failed" in check.says


def test_of_another_role_only_what_it_needs_is_said(lakebase: LakebaseStandIn) -> None:
    lakebase.workspace.synced_tables[NAME] = SyncedTable()
    environment = {**lakebase.environment(), "SYNCED_TABLE": NAME}
    [check] = judge(environment, "9e107d9d-0000-4000-8000-000000000000")
    assert check.state is State.NOT_CHECKED
    assert "needs USE CATALOG, USE SCHEMA and SELECT" in check.says
    [check] = judge(environment, lakebase.workspace.service_principal.name)
    assert check.state is State.OK


def test_each_declared_copy_is_a_line_with_its_table(lakebase: LakebaseStandIn, tmp_path: Path) -> None:
    file = tmp_path / "tables.toml"
    key = 'key = ["c_custkey"]'
    file.write_text(DECLARED.replace(key, f'{key}\nsynced_table = "main.shop.customer"'))
    lakebase.workspace.synced_tables[NAME] = SyncedTable()
    checks = judge({**lakebase.environment(), "SYNCED_TABLE": NAME, "TABLES_FILE": str(file)})
    assert [(check.table, check.state) for check in checks] == [
        ("orders", State.OK),
        ("customers", State.FAILED),
    ]
    assert f"Correct synced_table in {file}" in checks[1].mend


def test_without_a_workspace_or_a_declared_copy_nothing_is_asked(shop: Shop) -> None:
    assert judge(shop.environment) == []
    [check] = judge({**shop.environment, "SYNCED_TABLE": NAME})
    assert (check.state, "no workspace" in check.says) == (State.NOT_CHECKED, True)
