"""Several declared tables, each with a fault of its own: over HTTP, in the log, and by the command."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api.__main__ import main
from lakebase_api.app import get_service
from lakebase_api.doctor.filters import SMALL
from lakebase_api.doctor.setting_up import set_up
from lakebase_api.lakebase import setup_faults as setup_log
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import Check, State
from lakebase_api.sql.overlay import Overlay
from lakebase_api.sql.source import Source
from lakebase_api.sql.table_database import TableDatabase
from lakebase_api.table.loading import load_tables
from tests.conftest import AppOpener
from tests.doctor.conftest import APP, PERSON, Shop
from tests.tables import trial

pytestmark = pytest.mark.slow

NAMES = ("orders", "customers", "events", "lineitems")
GRANT = f"""
GRANT USAGE ON SCHEMA app TO "{APP}";
GRANT SELECT ON customer_synced, app.events, lineitem_synced TO "{APP}"
"""
ONE_CONNECTION = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
# Faults of three tables; whatever is there else is served.
FAULTS = """
ALTER TABLE customer_synced DROP c_nationkey, ALTER c_acctbal TYPE text;
ALTER TABLE app.events RENAME TO other;
ALTER TABLE lineitem_synced DROP CONSTRAINT lineitem_synced_pkey
"""
SAID = {
    "customers": (
        "the table has other columns",
        'columns: "public"."customer_synced" has no column c_nationkey',
    ),
    "events": ("the table is missing", 'table: there is no table "app"."events"'),
    "lineitems": (
        "the key is not unique",
        'index: "public"."lineitem_synced" has no unique index on l_orderkey, l_linenumber alone',
    ),
}


ORDERS = (trial.REPOSITORY / "tables.toml").read_text()


def read(connection: Connection, source: Source) -> str:
    """A row, by a statement as each has it on a declared table."""
    statement = f"SELECT 1 FROM {source.identifier.as_string(None)} AS t WHERE "
    connection.execute((statement + source.as_declared().as_string(None) + " LIMIT 1").encode())
    return "read"


def declare(shop: Shop, folder: Path, text: str) -> None:
    """Have the settings lead to these tables, beside orders."""
    file = folder / "declared.toml"
    file.write_text(ORDERS + text)
    shop.environment["TABLES_FILE"] = str(file)


@pytest.fixture
def trial_shop(shop: Shop, tmp_path: Path) -> Shop:
    """A shop with the tables of the trial beside orders, all of them declared and granted."""
    trial.create_trial(shop.database)
    shop.execute(GRANT)
    declare(shop, tmp_path, trial.DECLARED.removeprefix(ORDERS))
    return shop


ClientOpener = Callable[[Shop], FlaskClient]


@pytest.fixture
def open_client(open_app: AppOpener) -> ClientOpener:
    """Opens an app on whose every table there is one operation more: a read, at /read/<name>."""

    def open_one(shop: Shop) -> FlaskClient:
        app: Flask = open_app({**shop.environment, **ONE_CONNECTION})
        lakebase = get_service(app).lakebase
        for table in load_tables(shop.settings):
            database = TableDatabase(lakebase.database, Overlay(table, shop.settings.status_schema))
            app.add_url_rule(
                f"/read/{table.name}",
                f"read_{table.name}",
                lambda database=database: database.read(read),
            )
        return app.test_client()

    return open_one


def ask(client: FlaskClient) -> dict[str, int]:
    """What a read of each table is answered."""
    return {name: client.get(f"/read/{name}").status_code for name in NAMES}


def tell(client: FlaskClient) -> dict[str, str]:
    """What readiness tells of each table."""
    answer = client.get("/readyz?verbose")
    assert answer.json is not None
    parts = answer.json["parts"].items()
    return {name.removeprefix("table "): said for name, said in parts if name.startswith("table ")}


def find_faults(shop: Shop) -> dict[tuple[str, str], Check]:
    """The failing checks by table and name."""
    found = shop.examination.examine(shop.log_in())
    return {(check.table, check.name): check for check in found if check.state is State.FAILED}


def judge(shop: Shop, table: str, name: str) -> Check:
    """A check of a table."""
    found = shop.examination.examine(shop.log_in())
    [check] = [check for check in found if (check.table, check.name) == (table, name)]
    return check


def run_doctor(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """The status of the command, and what it printed."""
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    status = main(["doctor", *arguments])
    return status, capsys.readouterr().out


def test_tables_at_fault_are_refused_each_for_its_own_and_the_others_are_served(
    trial_shop: Shop,
    open_client: ClientOpener,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trial_shop.execute(FAULTS)
    client = open_client(trial_shop)
    for _ in range(3):
        assert ask(client) == {"orders": 200, "customers": 503, "events": 503, "lineitems": 503}
        told = {name: SAID[name][0] for name in SAID}
        assert tell(client) == {"orders": "ok", **told}
        assert client.get("/readyz").status_code == 200
    answer = client.get("/read/customers")
    assert answer.json is not None
    assert answer.json["type"] == "/problems/database-not-set-up"
    assert "c_" not in answer.text
    logged = {record.getMessage() for record in caplog.records if "Not set up" in record.msg}
    assert len(logged) == len(SAID)
    status, printed = run_doctor(trial_shop, monkeypatch, capsys)
    assert status == 1
    for line in logged:
        assert f"✗ {line.removeprefix('Not set up: ')}" in printed.splitlines()
    for name, (_, says) in SAID.items():
        assert f"\n✗ {name}: {says}" in printed
    assert '"app.other"' in printed
    assert "\n✓ orders: columns: " in printed
    assert "`source` of [events] in " in printed


def test_what_is_mended_is_served_at_once(trial_shop: Shop, open_client: ClientOpener) -> None:
    trial_shop.execute(FAULTS)
    client = open_client(trial_shop)
    ask(client)
    faults = find_faults(trial_shop)
    assert {table for table, _ in faults} == set(SAID)
    trial_shop.mend(faults["lineitems", "index"])
    assert client.get("/read/lineitems").status_code == 200
    trial_shop.execute("ALTER TABLE app.other RENAME TO events")
    assert client.get("/read/events").status_code == 200
    trial_shop.execute("ALTER TABLE customer_synced ADD c_nationkey integer")
    assert client.get("/read/customers").status_code == 503
    trial_shop.mend(find_faults(trial_shop)["customers", "columns"])
    assert ask(client) == dict.fromkeys(NAMES, 200)
    assert tell(client) == dict.fromkeys(NAMES, "ok")


def test_a_table_that_breaks_while_it_is_served_breaks_alone(
    trial_shop: Shop, open_client: ClientOpener
) -> None:
    client = open_client(trial_shop)
    for _ in range(7):
        assert ask(client) == dict.fromkeys(NAMES, 200)
    trial_shop.execute("ALTER TABLE customer_synced DROP c_nationkey")
    assert ask(client) == {**dict.fromkeys(NAMES, 200), "customers": 503}
    # A good read of others says nothing of it.
    assert tell(client)["customers"] == "the table has other columns"
    trial_shop.execute("DROP TABLE app.events")
    assert ask(client) == {**dict.fromkeys(NAMES, 200), "customers": 503, "events": 503}


def test_the_service_is_unready_while_every_table_is_at_fault_and_until_that_is_long_ago(
    trial_shop: Shop, open_client: ClientOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_shop.execute(FAULTS)
    trial_shop.execute(f'REVOKE SELECT ON orders_synced FROM "{APP}"')
    client = open_client(trial_shop)
    assert set(ask(client).values()) == {503}
    answer = client.get("/readyz?verbose")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["parts"]["tables"] == "every table is at fault"
    # Else no balancer would send the request that finds it mended.
    monkeypatch.setattr(setup_log, "LAST_KNOWN", 0.0)
    assert client.get("/readyz").status_code == 200
    monkeypatch.undo()
    assert client.get("/readyz").status_code == 503
    trial_shop.execute(f'GRANT SELECT ON orders_synced TO "{APP}"')
    assert client.get("/read/orders").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_the_document_of_doctor_has_the_table_of_each_check(
    trial_shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed = run_doctor(trial_shop, monkeypatch, capsys, "--json")
    assert status == 0
    checks = [(check["table"], check["check"]) for check in json.loads(printed)["checks"]]
    of_none = [name for table, name in checks if table is None]
    assert of_none[-5:] == ["max_connections", "api_keys", "audit", "usage", "growth"]
    for table in NAMES:
        changes = "status_changes" if table == "orders" else "changes"
        names = ["schema", "table", "columns", "index", "filters", changes]
        assert [name for of, name in checks if of == table] == names


ODD = """
[odd]
source = {source}
key = ["Key.1"]
one = "odd_one"
[odd.columns]
"Key.1" = {{ type = "text" }}
"select" = {{ type = "integer", null = true, filter = "any" }}
"ключ" = {{ type = "date", null = true, filter = "range" }}
"""
ODD_COLUMNS = '"Key.1" text, "select" integer, "ключ" date'


@pytest.mark.parametrize(
    ("schema", "source"),
    [
        ('Of "Shops"', "a.b"),
        ("public", "%s {table}"),
        pytest.param("public", "Odd Table", marks=pytest.mark.slow),
        pytest.param("Łódź", 'x"y;--', marks=pytest.mark.slow),
    ],
)
def test_odd_names_are_told_as_they_are_and_mended_by_the_sql_that_is_printed(
    shop: Shop, tmp_path: Path, open_client: ClientOpener, schema: str, source: str
) -> None:
    quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (schema, source))
    shop.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema.replace(chr(34), chr(34) * 2)}"')
    declare(shop, tmp_path, ODD.format(source=json.dumps(quoted, ensure_ascii=False)))
    client = open_client(shop)
    assert client.get("/read/odd").status_code == 503
    assert f"there is no table {quoted}" in find_faults(shop)["odd", "table"].says
    shop.execute(f"CREATE TABLE {quoted} ({ODD_COLUMNS.replace('date', 'text')})")
    for _ in range(2):
        for check in find_faults(shop).values():
            if check.sql:
                shop.mend(check)
    assert find_faults(shop) == {}
    assert client.get("/read/odd").status_code == 200
    shop.execute(f"INSERT INTO {quoted} SELECT n::text, n FROM generate_series(1, {SMALL}) AS n")
    shop.execute(f"ANALYZE {quoted}")
    check = judge(shop, "odd", "filters")
    assert check.state is State.ADVICE
    assert '("select", "Key.1")' in check.sql[0]
    shop.mend(check)
    check = judge(shop, "odd", "filters")
    assert check.state is State.OK


COMPOSITE = """
[parts]
source = "public.parts"
key = ["b", "a"]
one = "part"
[parts.columns]
a = { type = "integer" }
b = { type = "text" }
"""


@pytest.fixture
def parts(shop: Shop, tmp_path: Path) -> Shop:
    """A shop whose one declared table has a key of two columns; there is none yet."""
    declare(shop, tmp_path, COMPOSITE)
    return shop


def judge_key(shop: Shop) -> Check:
    shop.execute(f'GRANT SELECT ON parts TO "{APP}"')
    return judge(shop, "parts", "index")


@pytest.mark.parametrize(
    ("index", "state"),
    [
        ("UNIQUE INDEX ON parts (b, a)", State.OK),
        ("UNIQUE INDEX ON parts (b, a) INCLUDE (c)", State.OK),
        # Unique all the same, but lists go through it in another order.
        ("UNIQUE INDEX ON parts (a, b)", State.ADVICE),
        ("UNIQUE INDEX ON parts (a)", State.ADVICE),
        ("INDEX ON parts (b, a)", State.FAILED),
        ("UNIQUE INDEX ON parts (b, a, c)", State.FAILED),
        ("UNIQUE INDEX ON parts (b, a) WHERE a > 5", State.FAILED),
        ("UNIQUE INDEX ON parts (b, (a + 0))", State.FAILED),
        ("UNIQUE INDEX ON parts (a, c)", State.FAILED),
    ],
)
def test_a_key_of_several_columns_is_unique_by_an_index_on_them_and_on_no_other(
    parts: Shop, index: str, state: State
) -> None:
    parts.execute(f"CREATE TABLE parts (a integer NOT NULL, b text NOT NULL, c integer); CREATE {index}")
    check = judge_key(parts)
    assert check.state is state
    if state is not State.OK:
        parts.mend(check)
        assert judge_key(parts).state is State.OK


def test_each_column_of_the_key_must_not_be_null(parts: Shop) -> None:
    parts.execute("CREATE TABLE parts (a integer, b text NOT NULL); CREATE UNIQUE INDEX ON parts (b, a)")
    assert judge_key(parts).state is State.OK
    check = find_faults(parts)["parts", "columns"]
    assert check.says == "a may be NULL"
    parts.mend(check)
    assert find_faults(parts) == {}


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ("(1, 'x'), (1, 'y'), (2, 'x')", State.OK),
        ("(1, 'x'), (1, 'y'), (1, 'x')", State.FAILED),
        ("(1, 'x'), (1, NULL)", State.FAILED),
    ],
)
def test_of_a_view_the_keys_of_several_columns_are_looked_at(
    parts: Shop, open_client: ClientOpener, rows: str, state: State
) -> None:
    parts.execute(f"CREATE VIEW parts AS SELECT * FROM (VALUES {rows}) AS made (a, b)")
    assert judge_key(parts).state is state
    assert open_client(parts).get("/read/parts").status_code == (200 if state is State.OK else 503)


@pytest.mark.parametrize(
    ("by", "state"),
    [("a", State.OK), ("b, a", State.OK), ("c", State.NOT_CHECKED), ("a, c", State.NOT_CHECKED)],
)
def test_a_partitioned_table_is_unique_where_the_key_decides_on_the_partition(
    parts: Shop, by: str, state: State
) -> None:
    parts.execute(
        f"CREATE TABLE parts (a integer NOT NULL, b text NOT NULL, c integer) PARTITION BY HASH ({by});"
        "CREATE TABLE p0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE p1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "CREATE UNIQUE INDEX ON p0 (b, a); CREATE UNIQUE INDEX ON p1 (b, a);"
        f'GRANT SELECT ON parts TO "{APP}"'
    )
    found = parts.examination.examine(parts.log_in(), look_until=float("-inf"))
    states = [check.state for check in found if (check.table, check.name) == ("parts", "index")]
    assert states == [state]


SEARCHED = """
[pages]
source = "public.pages"
key = ["id"]
one = "page"
[pages.columns]
id = { type = "bigint" }
title = { type = "text", null = true, filter = ["any", "prefix"] }
code = { type = "char(8)", null = true, filter = "prefix" }
tags = { type = "text[]", null = true, filter = "contains" }
state = { type = "text", null = true, filter = "any", values = ["a", "b"] }
"""


def test_each_way_to_filter_is_told_the_index_that_it_takes(shop: Shop, tmp_path: Path) -> None:
    declare(shop, tmp_path, SEARCHED)
    shop.execute(
        "CREATE COLLATION other (LOCALE = 'C.UTF-8');"
        "CREATE TABLE pages (id bigint PRIMARY KEY, title text COLLATE other, code char(8) COLLATE other,"
        " tags text[],"
        f' state text); GRANT SELECT ON pages TO "{APP}";'
        f" INSERT INTO pages SELECT n, 't' || n, n, ARRAY['x' || n] FROM generate_series(1, {SMALL}) AS n"
    )
    # None of these is of use, but for values of a title.
    shop.execute("CREATE INDEX ON pages (title); CREATE INDEX ON pages (tags); CREATE INDEX ON pages (code)")
    check = judge(shop, "pages", "filters")
    assert [statement.partition('"pages" ')[2] for statement in check.sql] == [
        "(title text_pattern_ops, id)",
        "(code bpchar_pattern_ops, id)",
        "USING gin (tags)",
    ]
    # As many as are declared, where there are no statistics.
    assert "state (2 values) do without" in check.says
    shop.mend(check)
    shop.execute("ANALYZE pages")
    check = judge(shop, "pages", "filters")
    assert check.state is State.OK
    for condition in ("title LIKE 't77%'", "code LIKE '77%'", "tags @> ARRAY['x77']"):
        lines = shop.execute(f"EXPLAIN SELECT FROM pages WHERE {condition}")
        assert "Seq Scan" not in str(lines), condition


def test_a_prefix_is_found_by_an_index_of_collation_c_too(shop: Shop, tmp_path: Path) -> None:
    declare(shop, tmp_path, SEARCHED)
    shop.execute(
        'CREATE TABLE pages (id bigint PRIMARY KEY, title text COLLATE "C", code char(8), tags text[],'
        f' state text); CREATE INDEX ON pages (title); GRANT SELECT ON pages TO "{APP}";'
        f" INSERT INTO pages SELECT n, 't' || n FROM generate_series(1, {SMALL}) AS n"
    )
    check = judge(shop, "pages", "filters")
    assert not [statement for statement in check.sql if "title" in statement]


def change(client: FlaskClient) -> dict[str, int]:
    """What a change of each table that may be changed is answered."""
    return {
        "orders": patch(client, "/orders/1", {"o_orderstatus": "F"}).status_code,
        "customers": patch(client, "/customers/1", {"c_mktsegment": "BUILDING"}).status_code,
    }


def patch(client: FlaskClient, path: str, body: dict[str, str]) -> TestResponse:
    return client.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"})


def test_setup_makes_the_tables_of_changes_of_each_table_and_has_one_version(trial_shop: Shop) -> None:
    person = {**trial_shop.environment, "PGUSER": PERSON}
    assert "2 migrations made" in set_up(person, APP)
    assert set_up(person, APP).endswith("Nothing had to be done.")
    assert set_up(trial_shop.environment).endswith("Nothing had to be done.")
    made = trial_shop.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'lakebase_api'")
    assert {name for (name,) in made} == {
        "audit",
        "usage",
        "schema_version",
        "idempotency",
        "orders_changes",
        "orders_history",
        "customers_changes",
        "customers_history",
    }
    assert trial_shop.execute("SELECT count(*) FROM lakebase_api.schema_version") == [(1,)]
    assert find_faults(trial_shop) == {}


def test_tables_of_changes_at_fault_keep_from_the_changes_of_their_own_table_alone(
    trial_shop: Shop, open_client: ClientOpener, caplog: pytest.LogCaptureFixture
) -> None:
    set_up({**trial_shop.environment, "PGUSER": PERSON}, APP)
    trial_shop.execute(f'REVOKE INSERT ON lakebase_api.customers_history FROM "{APP}"')
    client = open_client(trial_shop)
    for _ in range(2):
        assert change(client) == {"orders": 200, "customers": 503}
        assert ask(client) == dict.fromkeys(NAMES, 200)
    answer = patch(client, "/customers/1", {"c_mktsegment": "BUILDING"})
    assert answer.json is not None
    assert answer.json["type"] == "/problems/status-changes-not-set-up"
    assert answer.json["detail"].startswith("The tables that keep changes of customers are missing")
    fault = "a grant on the tables of changes of customers is missing"
    assert tell(client) == {**dict.fromkeys(NAMES, "ok"), "customers": fault}
    said = [record.getMessage() for record in caplog.records if "Not set up" in record.msg]
    [line] = set(said)
    assert line.startswith("Not set up: customers: changes: ")
    trial_shop.mend(find_faults(trial_shop)["customers", "changes"])
    assert change(client) == {"orders": 200, "customers": 200}
    assert tell(client) == dict.fromkeys(NAMES, "ok")


def test_a_column_that_is_declared_to_change_later_takes_another_setup(
    trial_shop: Shop, tmp_path: Path
) -> None:
    set_up({**trial_shop.environment, "PGUSER": PERSON}, APP)
    more = trial.DECLARED.removeprefix(ORDERS).replace(
        'c_nationkey = { type = "integer", null = true, filter = "any", example = 15 }',
        'c_nationkey = { type = "integer", null = true, change = { path = "nation" } }',
    )
    declare(trial_shop, tmp_path, more)
    check = find_faults(trial_shop)["customers", "changes"]
    assert check.says.endswith("no columns for changes of c_nationkey")
    assert "python -m lakebase_api setup" in check.mend
    assert "1 migration made" in set_up({**trial_shop.environment, "PGUSER": PERSON}, APP)
    assert find_faults(trial_shop) == {}
    # A text in a column that keeps integers would be another value, or none.
    declare(
        trial_shop,
        tmp_path,
        more.replace('c_nationkey = { type = "integer"', 'c_nationkey = { type = "text"'),
    )
    says = find_faults(trial_shop)["customers", "changes"].says
    assert says == 'the tables in "lakebase_api" keep c_nationkey as bigint, not text'


def test_with_several_tables_that_change_directly_each_needs_its_own_grant(
    trial_shop: Shop, tmp_path: Path
) -> None:
    direct = trial.DECLARED.removeprefix(ORDERS).replace(
        'one = "customer"', 'one = "customer"\nwrites = "direct"'
    )
    declare(trial_shop, tmp_path, direct)
    check = find_faults(trial_shop)["customers", "update"]
    assert check.sql == (f'GRANT UPDATE (c_mktsegment) ON "public"."customer_synced" TO "{APP}"',)
    trial_shop.mend(check)
    assert find_faults(trial_shop) == {}
