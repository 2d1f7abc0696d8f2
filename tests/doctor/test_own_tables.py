"""The audit as nobody but its owner can change it, usage, and how what is old is taken out of the tables."""

import psycopg
import pytest

from lakebase_api.__main__ import main
from lakebase_api.app import get_service
from lakebase_api.doctor.pruning import prune
from lakebase_api.doctor.report import run_checks
from lakebase_api.doctor.setting_up import SetupRefused, set_up
from lakebase_api.lakebase.findings import Check, State
from tests.conftest import AppOpener
from tests.doctor.conftest import APP, PERSON, Shop
from tests.orders.changing import read, set_status

AUDITORS = "auditors_of_the_shop"
CHANGES = (
    "UPDATE lakebase_api.audit SET subject = 'nobody'",
    "DELETE FROM lakebase_api.audit",
    "TRUNCATE lakebase_api.audit",
    "ALTER TABLE lakebase_api.audit ADD more text",
    "DROP TABLE lakebase_api.audit",
)


@pytest.fixture
def owned(shop: Shop) -> Shop:
    """A database in which another role owns the tables, as a person has set it up who is one of it."""
    shop.execute(
        f"DO $$ BEGIN CREATE ROLE {AUDITORS}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        f'GRANT {AUDITORS} TO "{PERSON}"'
    )
    set_up(login(shop), APP, AUDITORS)
    return shop


def login(shop: Shop) -> dict[str, str]:
    """The settings of the person."""
    return {**shop.environment, "PGUSER": PERSON}


def find_check(shop: Shop, name: str) -> Check:
    """What the doctor says."""
    [check] = [check for check in run_checks(shop.environment) if check.name == name]
    return check


def test_what_another_role_owns_is_append_only_to_the_app(owned: Shop, open_app: AppOpener) -> None:
    client = open_app(owned.environment).test_client()
    assert set_status(client, 1, "F").status_code == 200
    [start] = read(client, "/audit")["audit"]
    assert start["action"] == "start"
    session = owned.log_in()
    for change in CHANGES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(change.encode())
    assert find_check(owned, "audit").state is State.OK
    assert "append-only" in find_check(owned, "audit").says


def test_setting_up_again_has_nothing_to_do(owned: Shop) -> None:
    assert set_up(login(owned), APP, AUDITORS).endswith("Nothing had to be done.")


@pytest.mark.parametrize("right", ["UPDATE", "DELETE", "TRUNCATE", "UPDATE (subject)"])
def test_the_doctor_advises_where_the_app_could_change_the_audit(owned: Shop, right: str) -> None:
    owned.execute(f'GRANT {right} ON lakebase_api.audit TO "{APP}"')
    check = find_check(owned, "audit")
    assert check.state is State.ADVICE
    assert f"`python -m lakebase_api setup --owner-role <another role> --role {APP}`" in check.mend


def test_the_doctor_advises_where_the_app_owns_the_audit(shop: Shop) -> None:
    assert "made at the first connection" in find_check(shop, "audit").says
    set_up(shop.environment)
    assert find_check(shop, "audit").state is State.ADVICE


def test_the_doctor_has_the_grants_that_are_missing(owned: Shop) -> None:
    owned.execute(f'REVOKE INSERT ON lakebase_api.audit FROM "{APP}"')
    check = find_check(owned, "audit")
    assert check.state is State.FAILED
    for statement in check.sql:
        owned.execute(statement)
    assert find_check(owned, "audit").state is State.OK


def test_the_app_may_add_to_usage_and_change_what_it_counted_but_delete_none(owned: Shop) -> None:
    assert find_check(owned, "usage").line == f'usage: {APP} may write "lakebase_api"."usage"'
    session = owned.log_in()
    session.execute("UPDATE lakebase_api.usage SET requests = requests + 1")
    for change in ("DELETE FROM lakebase_api.usage", "DROP TABLE lakebase_api.usage"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(change.encode())


def test_the_doctor_has_the_grants_that_usage_lacks_and_setting_up_gives_them(owned: Shop) -> None:
    for mend in (owned.mend, lambda _: set_up(login(owned), APP, AUDITORS)):
        owned.execute(f'REVOKE UPDATE ON lakebase_api.usage FROM "{APP}"')
        check = find_check(owned, "usage")
        assert check.state is State.FAILED
        assert "usage is kept in memory alone" in check.says
        mend(check)
        assert find_check(owned, "usage").state is State.OK


def test_the_doctor_says_where_usage_cannot_be_written(shop: Shop) -> None:
    assert find_check(shop, "usage").says == '"lakebase_api"."usage" is made at the first connection'
    shop.execute(f'REVOKE CREATE ON DATABASE {shop.database.name} FROM "{APP}"')
    check = find_check(shop, "usage")
    assert check.state is State.ADVICE
    assert f"{APP} does not make it: usage is kept in memory alone, of the last 24 hours" in check.says


def test_setting_up_makes_usage_where_an_earlier_release_was_set_up(owned: Shop) -> None:
    owned.execute("DROP TABLE lakebase_api.usage")
    assert "Nothing had to be done" not in set_up(login(owned), APP, AUDITORS)
    assert find_check(owned, "usage").state is State.OK


def test_usage_that_is_old_is_deleted(owned: Shop) -> None:
    for days in (1, 40):
        values = f"now() - interval '{days} days', 'ada', 'GET', '/orders', NULL, 2, 1, 1, 1, 1, 1"
        owned.execute(f"INSERT INTO lakebase_api.usage VALUES ({values})")
    assert "usage: 1 rows" in prune(login(owned), 30)
    assert owned.execute("SELECT count(*) FROM lakebase_api.usage") == [(1,)]


def test_what_is_old_is_deleted_but_the_newest_change_of_each_row(owned: Shop, open_app: AppOpener) -> None:
    app = open_app(owned.environment)
    client = app.test_client()
    for status in "FOF":
        assert set_status(client, 1, status, {"Idempotency-Key": f'"{status}"'}).status_code in (200, 422)
    assert set_status(client, 2, "F").status_code == 200
    get_service(app).audit.close()
    owned.execute(
        "UPDATE lakebase_api.orders_history SET _changed_at = _changed_at - interval '40 days';"
        "UPDATE lakebase_api.idempotency SET created_at = created_at - interval '40 days';"
        "UPDATE lakebase_api.audit SET at = at - interval '40 days'"
    )
    assert prune(login(owned), 41) == (
        "Older than 41 days, and deleted: audit: 0 rows; usage: 0 rows; orders_history: 0 rows; "
        "idempotency: 0 rows."
    )
    told = prune(login(owned), 30)
    changes = read(client, "/orders/1/history")["changes"]
    assert [change["version"] for change in changes] == [
        owned.execute("SELECT max(_version) FROM lakebase_api.orders_history WHERE o_orderkey = 1")[0][0]
    ]
    assert len(read(client, "/orders/2/history")["changes"]) == 1
    assert "audit: 1 rows" in told
    assert [event["action"] for event in read(client, "/audit")["audit"]] == ["prune", "prune"]
    assert set_status(client, 1, "P").status_code == 200


def test_who_does_not_own_the_tables_deletes_nothing(owned: Shop) -> None:
    with pytest.raises(SetupRefused, match="permission denied"):
        prune(owned.environment, 1)


def test_the_doctor_says_how_much_there_is_and_how_fast_it_grows(owned: Shop, open_app: AppOpener) -> None:
    client = open_app(owned.environment).test_client()
    assert set_status(client, 1, "F").status_code == 200
    says = find_check(owned, "growth").says
    assert "orders_history" in says
    assert says.count(", 1 in 24 hours") == 2


def test_a_history_of_an_earlier_release_is_told_and_brought_to_this_one_by_its_owner(owned: Shop) -> None:
    owned.execute("ALTER TABLE lakebase_api.orders_history DROP COLUMN _changed_label")
    check = find_check(owned, "status_changes")
    assert check.state is State.ADVICE
    assert f"`python -m lakebase_api setup --role {APP}`" in check.mend
    assert "1 migration made" in set_up(login(owned), APP, AUDITORS)
    assert find_check(owned, "status_changes").state is State.OK


def test_the_command_prunes_and_takes_no_age_that_is_none(
    owned: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in login(owned).items():
        monkeypatch.setenv(name, value)
    assert main(["setup", "--prune"]) == 0
    assert capsys.readouterr().out.startswith("Older than 365 days, and deleted: audit: 0 rows;")
    with pytest.raises(SystemExit):
        main(["setup", "--prune", "--older-than", "0"])
