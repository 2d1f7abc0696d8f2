"""The command that grants, on a real PostgreSQL: as the owner of the tables, and as somebody else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from lakebase_api.doctor.granting import GrantOptions
from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase.findings import Check, State
from tests.conftest import PASSWORD, AppOpener
from tests.doctor.conftest import APP, PERSON, Shop
from tests.doctor.granted import Ran, grant
from tests.doctor.test_filters import OF_MANY_VALUES, grow

TAKE = f"""
REVOKE CONNECT ON DATABASE {{database}} FROM "{APP}";
REVOKE ALL ON SCHEMA public FROM "{APP}";
REVOKE ALL ON orders_synced FROM "{APP}";
"""
ODD = 'An "odd" role %s'
ODD_TABLES = """
[parcels]
source = '"My ""own"" %s schema"."Par""cels %(x)s.y"'
key = ["id"]
one = "parcel"

[parcels.columns]
id = { type = "bigint" }
"""
ODD_SQL = """
CREATE SCHEMA "My ""own"" %s schema" AUTHORIZATION "ann.o'neil@example.com";
CREATE TABLE "My ""own"" %s schema"."Par""cels %(x)s.y" (id bigint NOT NULL);
ALTER TABLE "My ""own"" %s schema"."Par""cels %(x)s.y" OWNER TO "ann.o'neil@example.com";
"""
# The first GRANT fails: a sequence does not go back when a transaction is undone.
FAIL_ONCE = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('public.failures') = 1 THEN {how}; END IF;
END $$;
CREATE EVENT TRIGGER fail ON ddl_command_start WHEN TAG IN ('GRANT') EXECUTE FUNCTION fail();
"""
# As PostgreSQL says it of two who grant something on the same table.
BUSY = "RAISE EXCEPTION 'tuple concurrently updated' USING ERRCODE = 'XX000'"
# Making the first index takes longer than a statement may.
DAWDLE = """
CREATE SEQUENCE made;
CREATE FUNCTION dawdle() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('public.made') = 1 THEN PERFORM pg_sleep(2.5); END IF;
END $$;
CREATE EVENT TRIGGER dawdle ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION dawdle();
"""
INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'orders_synced' ORDER BY 1"
INDEXING = GrantOptions(makes_indexes=True)
SHOWING = GrantOptions(only_shows=True)


@pytest.fixture
def owned(shop: Shop) -> Shop:
    """A shop of which a person has database and tables, whose settings it has, and the app nothing."""
    person = sql.Identifier(PERSON).as_string(None)
    shop.execute(f"ALTER DATABASE {shop.database.name} OWNER TO {person}")
    shop.execute(f"ALTER TABLE orders_synced OWNER TO {person}")
    shop.execute(TAKE.format(database=shop.database.name))
    shop.environment["PGUSER"] = PERSON
    return shop


def find_faults(shop: Shop, role: str = APP) -> list[Check]:
    return [check for check in run_checks(shop.environment, role) if check.state is State.FAILED]


def read_as(shop: Shop, role: str = APP) -> None:
    shop.log_in(role).execute("SELECT * FROM public.orders_synced LIMIT 1")


def test_all_that_the_doctor_finds_missing_is_given_and_the_second_time_nothing(owned: Shop) -> None:
    missing = [statement for check in find_faults(owned) for statement in check.sql]
    assert len(missing) == 3
    ran = grant(owned.environment, APP)
    assert ran.statements == missing
    assert ran.refusal == ""
    assert ran.told == f"Logged in as {PERSON}.\n{APP} may read orders.\n"
    assert find_faults(owned) == []
    read_as(owned)
    again = grant(owned.environment, APP)
    assert (again.out, again.refusal) == ("", "")
    assert again.told.endswith(f"Nothing had to be done: {APP} may read orders.\n")


def test_the_app_serves_what_it_was_granted(owned: Shop, open_app: AppOpener) -> None:
    assert grant(owned.environment, APP).refusal == ""
    client = open_app({**owned.environment, "PGUSER": APP}).test_client()
    assert client.get("/orders/1").status_code == 200


def test_a_table_that_was_created_anew_is_granted_again(owned: Shop) -> None:
    grant(owned.environment, APP)
    owned.execute("CREATE TABLE anew (LIKE orders_synced INCLUDING ALL); DROP TABLE orders_synced")
    owned.execute(
        f"""ALTER TABLE anew RENAME TO orders_synced; ALTER TABLE orders_synced OWNER TO "{PERSON}";"""
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        read_as(owned)
    assert grant(owned.environment, APP).statements == [
        f'GRANT SELECT ON "public"."orders_synced" TO "{APP}"'
    ]
    read_as(owned)


def test_a_dry_run_shows_what_would_be_run_and_changes_nothing(owned: Shop) -> None:
    shown = grant(owned.environment, APP, options=SHOWING)
    assert shown.refusal == ""
    assert len(find_faults(owned)) == 3
    assert grant(owned.environment, APP).statements == shown.statements
    assert grant(owned.environment, APP, options=SHOWING).out == ""


def test_what_a_dry_run_shows_to_anybody_is_run_by_who_may_as_it_is(shop: Shop) -> None:
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    shown = grant({**shop.environment, "PGUSER": PERSON}, APP, options=SHOWING)
    assert shown.refusal == ""
    shop.execute(shown.out)
    read_as(shop)


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        ("REVOKE", "permission denied for table orders_synced"),
        ("GRANT SELECT ON orders_synced TO", 'no privileges were granted for "orders_synced"'),
    ],
    ids=["no right", "a right to read"],
)
def test_who_is_not_the_owner_is_told_who_is_and_what_they_run(shop: Shop, rights: str, says: str) -> None:
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    if rights != "REVOKE":
        shop.execute(f'{rights} "{PERSON}"')
    ran = grant({**shop.environment, "PGUSER": PERSON}, APP)
    statement = f'GRANT SELECT ON "public"."orders_synced" TO "{APP}"'
    assert ran.statements == [statement]
    assert says in ran.told
    assert f"The owner of the table, postgres, runs: {statement};\n" in ran.told
    assert ran.refusal == f"Not all is there that {APP} needs, for {PERSON} to give: orders."


def test_the_app_itself_is_told_that_it_is_not_the_one_to_run_this(shop: Shop) -> None:
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    ran = grant(shop.environment, APP)
    assert ran.refusal.endswith("orders. That is the role itself: run this as the owner of the tables.")


def test_a_member_of_the_owning_role_grants_as_the_owner(owned: Shop) -> None:
    owned.execute("CREATE ROLE keepers NOLOGIN")
    try:
        owned.execute(f'GRANT keepers TO "{PERSON}"; ALTER TABLE orders_synced OWNER TO keepers')
        assert grant(owned.environment, APP).refusal == ""
        read_as(owned)
    finally:
        owned.execute("DROP OWNED BY keepers CASCADE; DROP ROLE keepers")


def test_who_has_a_right_with_the_right_to_grant_it_grants_it(shop: Shop) -> None:
    shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    shop.execute(f'GRANT SELECT ON orders_synced TO "{PERSON}" WITH GRANT OPTION')
    assert grant({**shop.environment, "PGUSER": PERSON}, APP).refusal == ""
    read_as(shop)


def test_a_role_that_is_not_there_comes_with_how_it_comes_to_be(owned: Shop) -> None:
    ran = grant(owned.environment, "no-such-id", options=GrantOptions(wait=60))
    assert ran.out == ""
    assert "there is no role no-such-id. Attach the database to the app, which makes its role" in ran.told
    assert "SELECT databricks_create_role('no-such-id', 'SERVICE_PRINCIPAL')" in ran.told
    assert ran.refusal.endswith("role.")


def test_a_table_that_no_sync_is_known_of_is_not_waited_for(owned: Shop) -> None:
    owned.environment["DEFAULT_POSTGRES_TABLE"] = "orders_to_come"
    ran = grant(owned.environment, APP, options=GrantOptions(wait=60))
    assert "orders is not waited for: no synced_table is declared of it" in ran.told
    assert '✗ table: there is no table "public"."orders_to_come"' in ran.told
    assert ran.refusal.endswith("orders.")
    assert len(ran.statements) == 2  # to connect, and to use the schema


def test_a_declaration_that_does_not_fit_is_said_after_what_could_be_granted(owned: Shop) -> None:
    owned.execute("ALTER TABLE orders_synced DROP COLUMN o_clerk")
    ran = grant(owned.environment, APP)
    assert "has no column o_clerk" in ran.told
    assert ran.refusal.endswith("orders.")
    read_as(owned)


def test_who_cannot_log_in_is_told_why_as_the_doctor_does(owned: Shop) -> None:
    assert "Correct PGUSER" in grant({**owned.environment, "PGPASSWORD": "wrong"}, APP).refusal
    assert "PGPORT: " in grant({**owned.environment, "PGPORT": "0"}, APP).refusal


def test_what_changes_need_is_left_to_setup_and_said(owned: Shop) -> None:
    owned.execute(f'REVOKE CREATE ON DATABASE {owned.database.name} FROM "{APP}"')
    ran = grant(owned.environment, APP)
    assert f"`python -m lakebase_api setup --role {APP}`" in ran.told
    assert "CREATE" not in ran.out
    assert ran.refusal.endswith("orders.")
    assert owned.execute("SELECT FROM pg_namespace WHERE nspname = 'lakebase_api'") == []
    read_as(owned)
    assert grant({**owned.environment, "STATUS_WRITES": "off"}, APP).refusal == ""


def test_changes_that_are_only_shown_are_granted_for_reading(owned: Shop) -> None:
    owned.set_up_for(PERSON)
    owned.execute(f'ALTER SCHEMA lakebase_api OWNER TO "{PERSON}"')
    for (table,) in owned.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'lakebase_api'"):
        owned.execute(f'ALTER TABLE lakebase_api.{table} OWNER TO "{PERSON}"')
    owned.environment["STATUS_WRITES"] = "off"
    ran = grant(owned.environment, APP)
    assert f'GRANT SELECT ON "lakebase_api"."orders_changes" TO "{APP}"' in ran.statements
    assert "INSERT" not in ran.out
    assert (ran.refusal, find_faults(owned)) == ("", [])


def test_names_are_quoted_wherever_they_need_it(owned: Shop, odd_role: str, tables_file: str) -> None:
    owned.execute(ODD_SQL)
    owned.environment["TABLES_FILE"] = tables_file
    ran = grant(owned.environment, odd_role, options=INDEXING)
    assert ran.refusal == ""
    assert len(ran.statements) == 4
    assert find_faults(owned, odd_role) == []
    owned.log_in(odd_role).execute('SELECT id FROM "My ""own"" %s schema"."Par""cels %(x)s.y"')


@pytest.fixture
def odd_role(owned: Shop) -> Iterator[str]:
    name = sql.Identifier(ODD).as_string(None)
    owned.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield ODD
    for connection in owned.connections:
        connection.close()
    owned.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def tables_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("declared") / "tables.toml"
    file.write_text(ODD_TABLES)
    return str(file)


def test_several_may_grant_to_several_at_once(owned: Shop) -> None:
    owned.environment["STATUS_WRITES"] = "off"
    roles = [f"app-{number}" for number in range(3)]
    for role in roles:
        owned.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}'")
    try:
        with ThreadPoolExecutor(6) as threads:
            runs = list(threads.map(lambda role: grant(owned.environment, role), roles * 2))
        assert [ran.refusal for ran in runs] == [""] * 6
        assert [find_faults(owned, role) for role in roles] == [[]] * 3
    finally:
        for role in roles:
            owned.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_a_connection_that_is_lost_half_way_is_replaced(owned: Shop) -> None:
    owned.execute(FAIL_ONCE.format(how="PERFORM pg_terminate_backend(pg_backend_pid())"))
    owned.environment["STATUS_WRITES"] = "off"
    ran = grant(owned.environment, APP)
    assert "terminating connection due to administrator command. Trying again." in ran.told
    assert (ran.refusal, len(ran.statements)) == ("", 3)
    assert find_faults(owned) == []


def test_a_statement_that_met_another_one_at_the_same_catalogue_is_run_again(owned: Shop) -> None:
    owned.execute(FAIL_ONCE.format(how=BUSY))
    owned.environment["STATUS_WRITES"] = "off"
    ran = grant(owned.environment, APP)
    assert "tuple concurrently updated" in ran.told
    assert (ran.refusal, len(ran.statements)) == ("", 3)
    assert find_faults(owned) == []


def test_indexes_are_made_when_asked_for_however_long_it_takes(owned: Shop) -> None:
    grow(owned, "orders_synced")
    owned.execute(DAWDLE)
    owned.environment |= {"DB_COMMAND_TIMEOUT": "2", "STATUS_WRITES": "off"}
    without = grant(owned.environment, APP)
    assert without.refusal == ""
    assert f"orders: --indexes makes {len(OF_MANY_VALUES)} that would do good." in without.told
    assert "INDEX" not in without.out
    ran = grant(owned.environment, APP, options=INDEXING)
    assert ran.refusal == ""
    assert [each.partition(" ON ")[0] for each in ran.statements] == ["CREATE INDEX CONCURRENTLY"] * 4
    assert len(owned.execute(INDEXES)) == 5
    assert grant(owned.environment, APP, options=INDEXING).out == ""


def test_the_index_that_the_key_needs_is_asked_for_too(owned: Shop) -> None:
    owned.execute("ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey")
    without = grant(owned.environment, APP)
    assert without.refusal.endswith("orders.")
    assert "Or run this with --indexes." in without.told
    ran = grant(owned.environment, APP, options=INDEXING)
    assert (ran.refusal, len(ran.statements)) == ("", 1)
    assert ran.statements[0].startswith("CREATE UNIQUE INDEX CONCURRENTLY ON")


def test_beside_an_index_that_is_not_valid_no_other_is_made(owned: Shop) -> None:
    owned.execute("ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey")
    owned.execute("CREATE UNIQUE INDEX half_made ON orders_synced (o_orderkey)")
    owned.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half_made'::regclass")
    ran = grant(owned.environment, APP, options=INDEXING)
    assert "half_made is not valid: it is being built, or building it failed" in ran.told
    assert ran.refusal.endswith("orders.")
    assert owned.execute(INDEXES) == [("half_made",)]


def test_who_may_not_make_an_index_is_told_so(shop: Shop) -> None:
    shop.execute("ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey")
    ran: Ran = grant({**shop.environment, "PGUSER": PERSON}, APP, options=INDEXING)
    assert "must be owner of table orders_synced" in ran.told
    assert ran.refusal.endswith("orders.")
