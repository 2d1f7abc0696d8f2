"""Whose the tables that keep changes are: not a person's who only looks."""

from tests.conftest import AppOpener
from tests.lakebase_stand_in import LakebaseStandIn

IS_THERE = "SELECT to_regnamespace('lakebase_api') IS NOT NULL"


def test_a_person_who_only_reads_owns_nothing(lakebase: LakebaseStandIn, open_app: AppOpener) -> None:
    person = open_app(lakebase.environment(identity=lakebase.workspace.user)).test_client()
    assert person.get("/orders/1").status_code == 200
    assert lakebase.execute(IS_THERE) == [(False,)]
    assert person.post("/orders/1/status", json={"o_orderstatus": "F"}).status_code == 200
    assert lakebase.execute(IS_THERE) == [(True,)]


def test_the_apps_own_role_makes_them_before_any_change(
    lakebase: LakebaseStandIn, open_app: AppOpener
) -> None:
    app = open_app(lakebase.environment()).test_client()
    assert app.get("/orders/1").status_code == 200
    assert lakebase.execute(IS_THERE) == [(True,)]
