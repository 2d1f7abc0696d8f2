"""Each right is taken on a real PostgreSQL, found missing, and given by the SQL that the check prints."""

import psycopg
import pytest

from lakebase_api.lakebase.findings import STATUS_CHANGES, Blocks, Check, State
from lakebase_api.settings import Settings
from lakebase_api.sql.overlay_names import IDEMPOTENCY_TABLE, list_privileges
from lakebase_api.table.loading import load_tables
from tests.conftest import AppOpener
from tests.doctor.conftest import APP, PERSON, Shop

READ = "SELECT * FROM public.orders_synced LIMIT 1"
MAKE = "CREATE SCHEMA lakebase_api"
PRIVILEGES = [
    (table, privilege)
    for table, privileges in list_privileges(load_tables(Settings())).items()
    for privilege in privileges
]


def test_the_least_that_the_platform_gives_is_enough(shop: Shop) -> None:
    checks = shop.examination.examine(shop.log_in())
    names = ["schema", "table", "columns", "index", "filters", "status_changes", "max_connections"]
    assert [(check.name, check.state) for check in checks] == [(name, State.OK) for name in names]


@pytest.mark.parametrize(
    ("taking", "name", "proof"),
    [
        (f'REVOKE USAGE ON SCHEMA public FROM "{APP}"', "schema", READ),
        (f'REVOKE SELECT ON orders_synced FROM "{APP}"', "table", READ),
        ("REVOKE CREATE ON DATABASE {database} FROM {role}", STATUS_CHANGES, MAKE),
        (MAKE, STATUS_CHANGES, "CREATE TABLE lakebase_api.orders_changes ()"),
        (
            f'{MAKE}; GRANT USAGE ON SCHEMA lakebase_api TO "{APP}"',
            STATUS_CHANGES,
            "CREATE TABLE lakebase_api.orders_changes ()",
        ),
    ],
    ids=["USAGE", "SELECT", "CREATE", "an empty schema", "an empty schema to look at"],
)
def test_a_missing_grant_is_the_one_fault_and_its_sql_mends_it(
    shop: Shop, taking: str, name: str, proof: str
) -> None:
    shop.execute(taking.format(database=shop.database.name, role=f'"{APP}"'))
    faults = shop.find_faults()
    assert list(faults) == [name]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        shop.log_in().execute(proof.encode())
    shop.mend(faults[name])
    assert shop.find_faults() == {}
    shop.log_in().execute(proof.encode())


@pytest.mark.parametrize("mode", ["overlay", "direct", "off"])
@pytest.mark.parametrize(("table", "privilege"), PRIVILEGES)
def test_each_privilege_on_the_tables_of_changes_is_missed_where_it_is_needed_and_mended(
    made_shop: Shop, mode: str, table: str, privilege: str
) -> None:
    shop = made_shop
    shop.environment["STATUS_WRITES"] = mode
    shop.execute(f'REVOKE {privilege} ON lakebase_api.{table} FROM "{APP}"')
    is_for_reading = privilege == "SELECT" and table != IDEMPOTENCY_TABLE
    check = shop.find_faults().get(STATUS_CHANGES)
    if mode == "off" and not is_for_reading:
        assert check is None
        shop.execute(f'GRANT {privilege} ON lakebase_api.{table} TO "{APP}"')
        return
    assert check is not None
    assert check.blocks is (Blocks.EVERYTHING if is_for_reading else Blocks.CHANGES)
    assert [f"GRANT {privilege} ON" in statement for statement in check.sql] == [True]
    shop.mend(check)
    assert STATUS_CHANGES not in shop.find_faults()


def test_the_schema_of_the_changes_may_be_hidden_and_is_mended(shop: Shop) -> None:
    shop.set_up_for(APP)
    shop.execute(f'REVOKE USAGE ON SCHEMA lakebase_api FROM "{APP}"')
    check = shop.find_faults()[STATUS_CHANGES]
    assert check.blocks is Blocks.EVERYTHING
    shop.mend(check)
    assert shop.find_faults() == {}


def test_all_that_is_missing_is_found_at_once(shop: Shop) -> None:
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"; REVOKE USAGE ON SCHEMA public FROM "{APP}"')
    shop.execute(MAKE)
    faults = shop.find_faults()
    assert list(faults) == ["schema", "table", STATUS_CHANGES]
    for check in faults.values():
        shop.mend(check)
    assert shop.find_faults() == {}


def test_changing_the_table_itself_needs_its_update_grant(shop: Shop) -> None:
    shop.environment["STATUS_WRITES"] = "direct"
    faults = shop.find_faults()
    assert list(faults) == ["update"]
    assert "STATUS_WRITES=overlay" in faults["update"].mend
    shop.mend(faults["update"])
    assert shop.find_faults() == {}
    session = shop.log_in()
    session.execute("SELECT FROM orders_synced WHERE o_orderkey = 1 FOR UPDATE")
    session.execute("UPDATE orders_synced SET o_orderstatus = 'F' WHERE o_orderkey = 1")


def test_what_takes_no_updates_cannot_be_changed_directly(shop: Shop) -> None:
    shop.environment |= {"STATUS_WRITES": "direct", "DEFAULT_POSTGRES_TABLE": "copy"}
    shop.execute("CREATE MATERIALIZED VIEW copy AS SELECT * FROM orders_synced")
    shop.execute(f'GRANT SELECT, UPDATE ON copy TO "{APP}"')
    assert shop.find_faults()["update"].says == '"public"."copy" takes no updates'


def test_the_grant_of_each_column_is_as_good_as_that_of_the_table(shop: Shop) -> None:
    columns = "o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk"
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    shop.execute(f'GRANT SELECT ({columns}, o_shippriority) ON orders_synced TO "{APP}"')
    assert list(shop.find_faults()) == ["table"]
    shop.execute(f'GRANT SELECT (o_comment) ON orders_synced TO "{APP}"')
    assert shop.find_faults() == {}


def test_names_are_quoted_where_they_need_it(shop: Shop) -> None:
    shop.environment |= {
        "DEFAULT_POSTGRES_SCHEMA": "Odd Schema",
        "DEFAULT_POSTGRES_TABLE": 'my"orders',
        "STATUS_SCHEMA": "Own %s",
    }
    shop.execute('CREATE SCHEMA "Odd Schema"; ALTER TABLE orders_synced SET SCHEMA "Odd Schema"')
    shop.execute('ALTER TABLE "Odd Schema".orders_synced RENAME TO "my""orders"')
    shop.execute(f'REVOKE ALL ON "Odd Schema"."my""orders" FROM "{APP}"')
    shop.execute('ALTER TABLE "Odd Schema"."my""orders" DROP CONSTRAINT orders_synced_pkey')
    shop.execute('CREATE SCHEMA "Own %s"')
    faults = shop.find_faults()
    assert list(faults) == ["schema", "table", "index", STATUS_CHANGES]
    for check in faults.values():
        shop.mend(check)
    assert shop.find_faults() == {}


def test_a_missing_schema_or_table_is_answered_with_settings_that_fit(shop: Shop) -> None:
    shop.environment["DEFAULT_POSTGRES_SCHEMA"] = "sales"
    faults = shop.find_faults()
    assert list(faults) == ["schema", "table"]
    meant = "(DEFAULT_POSTGRES_SCHEMA=public DEFAULT_POSTGRES_TABLE=orders_synced)"
    assert meant in faults["schema"].mend
    shop.environment |= {"DEFAULT_POSTGRES_SCHEMA": "public", "DEFAULT_POSTGRES_TABLE": "orders"}
    faults = shop.find_faults()
    assert list(faults) == ["table"]
    assert meant in faults["table"].mend


def test_tables_of_an_older_release_are_for_their_owner_to_migrate(shop: Shop) -> None:
    shop.set_up_for(APP)
    shop.execute("DELETE FROM lakebase_api.schema_version")
    check = shop.find_faults()[STATUS_CHANGES]
    assert "version 0" in check.says
    assert f"python -m lakebase_api setup --role {APP}" in check.mend
    shop.environment["STATUS_WRITES"] = "off"
    assert shop.find_faults() == {}


def test_where_some_tables_are_missing_their_owner_makes_them(shop: Shop) -> None:
    shop.set_up_for(APP)
    shop.execute("DROP TABLE lakebase_api.idempotency")
    check = shop.find_faults()[STATUS_CHANGES]
    assert check.sql == ()
    assert f"python -m lakebase_api setup --role {APP}" in check.mend


def test_without_changes_their_tables_need_not_be_there(shop: Shop) -> None:
    shop.environment["STATUS_WRITES"] = "off"
    shop.execute(f'REVOKE CREATE ON DATABASE {shop.database.name} FROM "{APP}"')
    assert shop.find_faults() == {}
    shop.execute(f'CREATE SCHEMA lakebase_api; GRANT USAGE ON SCHEMA lakebase_api TO "{APP}"')
    assert shop.find_faults() == {}


def examine_other(shop: Shop, role: str) -> dict[str, Check]:
    """The failing checks of a role, as its owner sees them."""
    found = shop.examination.examine_for(shop.log_in(PERSON), role)
    return {check.name: check for check in found if check.state is State.FAILED}


def test_the_rights_of_another_role_are_looked_at_from_any_login(shop: Shop) -> None:
    assert examine_other(shop, APP) == {}
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    faults = examine_other(shop, APP)
    assert list(faults) == ["table"]
    shop.mend(faults["table"])
    assert examine_other(shop, APP) == {}
    assert list(examine_other(shop, PERSON)) == ["table"]


@pytest.mark.parametrize(
    ("taking", "giving_back"),
    [
        ("REVOKE CONNECT ON DATABASE {database} FROM {role}", "SELECT 1"),
        ("ALTER ROLE {role} NOLOGIN", "ALTER ROLE {role} LOGIN"),
    ],
)
def test_another_role_that_cannot_come_in_is_said_so(shop: Shop, taking: str, giving_back: str) -> None:
    names = {"database": shop.database.name, "role": f'"{APP}"'}
    shop.execute(taking.format(**names))
    try:
        faults = examine_other(shop, APP)
        assert list(faults) == ["role"]
        with pytest.raises(psycopg.OperationalError):
            shop.log_in()
        shop.mend(faults["role"])
        assert examine_other(shop, APP) == {}
        shop.log_in()
    finally:
        shop.execute(giving_back.format(**names))


def test_a_role_that_is_not_there_is_one_to_be_made(shop: Shop) -> None:
    checks = shop.examination.examine_for(shop.log_in(PERSON), "no-such-id")
    [check] = [check for check in checks if check.state is State.FAILED]
    assert check.name == "role"
    assert "Attach the database to the app" in check.mend
    assert check.sql[-1] == "SELECT databricks_create_role('no-such-id', 'SERVICE_PRINCIPAL')"
    not_checked = [check.name for check in checks if check.state is State.NOT_CHECKED]
    assert not_checked == ["schema", "table", "columns", "index", "filters", "status_changes"]


def test_what_is_found_does_not_wait_for_a_lock_on_the_table(shop: Shop) -> None:
    with psycopg.connect(shop.database.server.conninfo(shop.database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        session = shop.log_in()
        session.execute("SET statement_timeout = '2s'")
        assert all(check.state is State.OK for check in shop.examination.examine(session))
        holder.rollback()


def test_the_app_serves_with_the_least(shop: Shop, open_app: AppOpener) -> None:
    client = open_app(shop.environment).test_client()
    assert client.get("/orders/1").status_code == 200
