"""Making the tables of status changes: by the app, for the app, by the wrong person, by many at once."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from lakebase_api.doctor.setting_up import SetupRefused, set_up
from lakebase_api.lakebase.findings import STATUS_CHANGES
from lakebase_api.settings import Settings
from lakebase_api.sql.overlay_names import list_privileges
from lakebase_api.table.loading import load_tables
from tests.doctor.conftest import APP, PERSON, Shop
from tests.lakebase_stand_in import LakebaseStandIn

OWNER = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'lakebase_api'"
WORK = "INSERT INTO lakebase_api.orders_changes VALUES (1, 'public.orders_synced', 1, 'F', true, 'O')"

FORBID_GRANTS = """
CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''no grants today''; END';
CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN TAG IN ('GRANT') EXECUTE FUNCTION forbid();
"""


def refuse(environment: dict[str, str], role: str | None = None) -> str:
    with pytest.raises(SetupRefused) as caught:
        set_up(environment, role)
    return str(caught.value)


@pytest.fixture
def person(shop: Shop) -> dict[str, str]:
    """The settings of a person who is not the app."""
    return {**shop.environment, "PGUSER": PERSON}


def test_the_app_sets_itself_up_once(shop: Shop) -> None:
    done = set_up(shop.environment)
    assert done == f"Schema lakebase_api belongs to {APP}. 1 migration made; {APP} may work with it."
    assert set_up(shop.environment) == f"Schema lakebase_api belongs to {APP}. Nothing had to be done."
    assert shop.find_faults() == {}
    shop.log_in().execute(WORK)


def test_several_hosts_may_do_it_at_once(shop: Shop) -> None:
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda _: set_up(shop.environment), range(6)))
    assert sum("1 migration made" in line for line in done) == 1
    assert shop.execute("SELECT count(*) FROM lakebase_api.schema_version") == [(1,)]


def test_several_may_grant_at_once(shop: Shop, person: dict[str, str]) -> None:
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda _: set_up(person, APP), range(6)))
    assert len(done) == 6
    assert shop.find_faults() == {}


def test_a_person_makes_the_tables_for_the_app_when_told_so(shop: Shop, person: dict[str, str]) -> None:
    done = set_up(person, APP)
    assert done == f"Schema lakebase_api belongs to {PERSON}. 1 migration made; {APP} may work with it."
    assert shop.execute(OWNER) == [(PERSON,)]
    assert shop.find_faults() == {}
    shop.log_in().execute(WORK)
    assert set_up(person, APP).endswith("Nothing had to be done.")
    assert set_up(shop.environment).endswith("Nothing had to be done.")


def test_grants_that_were_lost_are_given_again(shop: Shop, person: dict[str, str]) -> None:
    set_up(person, APP)
    shop.execute(f'REVOKE INSERT ON lakebase_api.orders_changes FROM "{APP}"')
    assert "0 migrations made" in set_up(person, APP)
    shop.log_in().execute(WORK)


def test_a_role_that_is_not_there_is_not_granted_anything(shop: Shop, person: dict[str, str]) -> None:
    assert "there is no role no-such-id" in refuse(person, "no-such-id")
    assert shop.execute(OWNER) == []


@pytest.mark.parametrize("extra", [{}, {"PGUSER": "ann.o'neil@example.com"}], ids=["login", "PGUSER"])
def test_a_person_on_lakebase_is_refused_and_told_the_way_out(
    lakebase: LakebaseStandIn, extra: dict[str, str]
) -> None:
    person = lakebase.workspace.user
    refusal = refuse({**lakebase.environment(identity=person), **extra})
    assert f"This login is {person.name}" in refusal
    assert "`python -m lakebase_api setup --role <the client id of the app>`" in refusal
    assert lakebase.execute(OWNER) == []


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
def test_the_app_on_lakebase_is_its_service_principal(lakebase: LakebaseStandIn, kind: str) -> None:
    app = lakebase.workspace.service_principal.name
    try:
        assert set_up(lakebase.environment(kind)).startswith(f"Schema lakebase_api belongs to {app}. 1")
    finally:
        lakebase.execute("DROP SCHEMA IF EXISTS lakebase_api CASCADE")


def test_a_person_may_own_the_tables_when_that_is_said(lakebase: LakebaseStandIn) -> None:
    person = lakebase.workspace.user
    try:
        done = set_up(lakebase.environment(identity=person), person.name)
        assert done.startswith(f"Schema lakebase_api belongs to {person.name}. 1")
    finally:
        lakebase.execute("DROP SCHEMA IF EXISTS lakebase_api CASCADE")


def test_a_schema_of_the_wrong_person_is_handed_over_by_the_sql_that_is_printed(
    shop: Shop, person: dict[str, str]
) -> None:
    set_up(person, PERSON)
    refusal = refuse(shop.environment)
    assert f"belongs to {PERSON}: {PERSON} runs `python -m lakebase_api setup --role {APP}`" in refusal
    statements = re.findall(r"ALTER [^;]*;", refusal)
    tables = [*list_privileges(load_tables(Settings())), "audit", "usage"]
    assert len(statements) == 1 + len(tables)
    for statement in statements:
        shop.execute(statement)
    assert set_up(shop.environment) == f"Schema lakebase_api belongs to {APP}. Nothing had to be done."
    assert shop.find_faults() == {}


def test_an_empty_schema_of_somebody_else_is_refused_and_left_alone(shop: Shop) -> None:
    shop.execute("CREATE SCHEMA lakebase_api")
    refusal = refuse(shop.environment)
    assert "Nothing was changed." in refusal
    assert 'ALTER SCHEMA "lakebase_api" OWNER TO' in refusal
    assert shop.execute("SELECT FROM pg_tables WHERE schemaname = 'lakebase_api'") == []


def test_the_right_to_make_a_schema_is_asked_for_by_its_sql(shop: Shop) -> None:
    shop.execute(f'REVOKE CREATE ON DATABASE {shop.database.name} FROM "{APP}"')
    refusal = refuse(shop.environment)
    [statement] = re.findall(r"GRANT [^;]*;", refusal)
    shop.execute(statement)
    assert "1 migration made" in set_up(shop.environment)


def test_whoever_cannot_grant_is_not_told_that_all_is_well(shop: Shop, person: dict[str, str]) -> None:
    set_up(shop.environment)
    shop.execute(f'REVOKE INSERT ON lakebase_api.orders_changes FROM "{APP}"')
    assert "Nothing was changed." in refuse(person, APP)
    assert STATUS_CHANGES in shop.find_faults()


def test_what_keeps_from_logging_in_is_said_as_the_doctor_does(shop: Shop) -> None:
    assert "Correct PGUSER" in refuse({**shop.environment, "PGPASSWORD": "wrong"})
    assert "PGPORT: " in refuse({**shop.environment, "PGPORT": "0"})


def test_a_failure_half_way_leaves_nothing_behind(shop: Shop) -> None:
    shop.execute(f'CREATE SCHEMA lakebase_api AUTHORIZATION "{APP}"')
    shop.execute("CREATE TABLE lakebase_api.idempotency ()")
    assert "already exists. Nothing was changed." in refuse(shop.environment)
    with pytest.raises(psycopg.errors.UndefinedTable):
        shop.execute("SELECT FROM lakebase_api.orders_changes")


def test_without_the_grants_nothing_is_made(shop: Shop, person: dict[str, str]) -> None:
    shop.execute(FORBID_GRANTS)
    assert "no grants today. Nothing was changed." in refuse(person, APP)
    assert shop.execute(OWNER) == []


def test_mistakes_in_the_declared_tables_are_told_before_anything_is_made(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "tables.toml"
    file.write_text("[orders]\nsorce = 1\n")
    refusal = refuse({**shop.environment, "TABLES_FILE": str(file)})
    assert f"{file} line 2: orders.sorce: is not known here; did you mean `source`?" in refusal
    assert shop.execute(OWNER) == []
