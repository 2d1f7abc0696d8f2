"""The file of declared tables: what it says, and each mistake with its line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakebase_api.environment import load_settings
from lakebase_api.table.declaration import Filter, Table, Writes
from lakebase_api.table.loading import find_settings_of_orders, load_tables, read_tables
from lakebase_api.table.mistakes import TablesError
from lakebase_api.table.names import TAKEN as TAKEN_NAMES
from lakebase_api.table.types import Kind
from tests.conftest import OrdersDatabase
from tests.environments import mistakes
from tests.gunicorn_process import ROOT
from tests.waiting import PATIENCE

STATIC = {"PGHOST": "127.0.0.1", "PGUSER": "ann", "PGPASSWORD": "secret"}
OWN = {"TABLES_FILE": str(ROOT / "tables.toml")}

GOOD = """
[customers]
source = "public.customer_synced"
key = ["c_custkey"]
one = "customer"

[customers.columns]
c_custkey = { type = "bigint" }
c_name = { type = "varchar(25)", filter = ["any", "prefix"] }
c_balance = { type = "numeric(18,2)", null = true, filter = ["range", "null"] }
c_segment = { type = "text", null = true, values = ["A", "B"], change = { path = "segment" } }
c_mood = { type = 'app."Mood"', values = ["good", "bad"], filter = "any" }
c_seen = { type = "timestamptz", filter = "range" }
c_tags = { type = "text[]", filter = "contains" }
c_more = { type = "jsonb", filter = "contains" }

[seen]
source = '"My Schema"."T.x"'
key = ["day", "id"]
one = "sight"
writes = "off"

[seen.columns]
day = { type = "date" }
id = { type = "uuid" }
"""


def read(text: str) -> list[str]:
    return read_tables(text, "tables.toml")[1]


def load(path: Path, text: str, **environment: str) -> tuple[Table, ...]:
    path.joinpath("tables.toml").write_text(text)
    return load_tables(load_settings({**STATIC, **environment, "TABLES_FILE": f"{path}/tables.toml"}))


def test_what_is_declared_is_what_is_served(tmp_path: Path) -> None:
    customers, seen = load(tmp_path, GOOD)
    assert (customers.schema, customers.source, customers.one) == ("public", "customer_synced", "customer")
    assert [column.name for column in customers.key] == ["c_custkey"]
    assert customers.by_name["c_name"].filters == (Filter.ANY, Filter.PREFIX)
    assert customers.by_name["c_name"].type.length == 25
    assert customers.by_name["c_mood"].type.kind is Kind.ENUM
    assert customers.by_name["c_mood"].type.cast == 'app."Mood"'
    assert customers.changeable == (customers.by_name["c_segment"],)
    assert (seen.schema, seen.source, seen.key_names) == ("My Schema", "T.x", ("day", "id"))
    assert seen.writes is Writes.OFF


# The text that is replaced, what by, and the mistake: its line begins as the replacement does.
MISTAKES = [
    ('source = "public.customer_synced"', 'sourc = "public.customer_synced"', "did you mean `source`?"),
    ('source = "public.customer_synced"', 'source = "customer_synced"', "must be a schema and a table"),
    ('source = "public.customer_synced"', 'source = "public.Customers"', "'\"Customers\"'"),
    ('source = "public.customer_synced"', 'source = "my-schema.customers"', "'\"my-schema\"'"),
    ('source = "public.customer_synced"', "source = 3", "must be a text"),
    (
        'key = ["c_custkey"]',
        'key = ["c_custky"]',
        "c_custky is no declared column; did you mean `c_custkey`?",
    ),
    ('key = ["c_custkey"]', 'key = ["c_custkey", "c_custkey"]', "names c_custkey twice"),
    ('key = ["c_custkey"]', "key = []", "must not be empty"),
    ('key = ["c_custkey"]', "key = 1", "must be a text or a list of texts"),
    ('one = "customer"', 'one = "Kunde"', "must have small letters"),
    ('one = "customer"', 'one = "sight"', "sight is what a row of customers is called"),
    ('writes = "off"', 'writes = "on"', "must be one of overlay, direct, off"),
    ('writes = "off"', 'synced_table = "shop.orders"', "must be catalog.schema.table"),
    ('writes = "off"', 'synced_table = "main.shop.orders.more"', "must be catalog.schema.table"),
    ('writes = "off"', 'synced_table = "main.the shop.orders"', "must be catalog.schema.table"),
    ('writes = "off"', 'synced_table = "`main`.`shop`.`orders`"', "must be catalog.schema.table"),
    ('writes = "off"', 'synced_table = "main.shop.a/b"', "must be catalog.schema.table"),
    ('writes = "off"', "synced_table = true", "must be a text"),
    ('writes = "off"', 'sync_table = "main.shop.orders"', "did you mean `synced_table`?"),
    ("c_custkey = {", 'c_custkey = { type = "bigint", null = true }', "cannot be NULL"),
    ("c_custkey = {", 'c_custkey = { type = "numeric" }', "is of the key, which cannot be numeric"),
    ("c_custkey = {", 'c_custkey = { type = "boolean" }', "is of the key, which cannot be boolean"),
    ("c_custkey = {", 'c_custkey = { type = "char(8)" }', "padded with blanks"),
    ("c_custkey = {", 'c_custkey = { type = "int", change = { path = "k" } }', "cannot be changed"),
    ("c_name = {", 'c_name = { typ = "text" }', "did you mean `type`?"),
    ("c_name = {", "c_name = { filter = 'any' }", "has no `type`, which it must have"),
    ("c_name = {", 'c_name = "text"', 'must be a table such as { type = "bigint" }'),
    ("c_name = {", 'c_name = { type = "tekst" }', "did you mean `text`?"),
    ("c_name = {", 'c_name = { type = "mood" }', "An enum has its `values` beside it"),
    ("c_name = {", 'c_name = { type = "text", nul = true }', "did you mean `null`?"),
    ("c_name = {", 'c_name = { type = "text", null = "yes" }', "must be true or false"),
    ("c_name = {", 'c_name = { type = "text", filter = "equal" }', "equal is not known"),
    ("c_name = {", 'c_name = { type = "text", filter = "null" }', "is for a column with null = true"),
    ("c_name = {", 'c_name = { type = "text", filter = ["any", "any"] }', "names any twice"),
    ("c_name = {", 'c_name = { type = "text", as = "string" }', "is a text in JSON"),
    ("c_name = {", 'c_name = { type = "bigint", as = "text" }', 'must be "string"'),
    ("c_name = {", 'c_name = { type = "text", values = [] }', "must be a list of values"),
    ("c_name = {", 'c_name = { type = "text", values = ["A", 1] }', "must be a text, as text is"),
    ("c_name = {", 'c_name = { type = "int", values = [1, "b"] }', "must be a whole number"),
    ("c_name = {", 'c_name = { type = "int", values = [1, true] }', "must be a whole number"),
    ("c_name = {", 'c_name = { type = "smallint", values = [1, 40000] }', "is no value of smallint"),
    ("c_name = {", 'c_name = { type = "date", values = ["1996-02-30"] }', "must be a date"),
    ("c_name = {", 'c_name = { type = "char(1)", values = ["AB"] }', "must have 1 characters at most"),
    ("c_name = {", 'c_name = { type = "text", values = ["A", "A"] }', "names A twice"),
    ("c_name = {", 'c_name = { type = "jsonb", values = [1] }', "has too many to list"),
    ("c_name = {", 'c_name = { type = "bigint", example = "a" }', "must be a whole number"),
    ("c_name = {", 'c_name = { type = "double precision", example = nan }', "must be a number that JSON has"),
    ("c_name = {", 'c_name = { type = "int[]", example = ["a"] }', "must be a whole number"),
    ("c_name = {", 'c_name = { type = "jsonb", sort = true }', "has no usual order"),
    ("c_name = {", 'c_name = { type = "text", description = 1 }', "must be a text"),
    ("c_name = {", 'c_name = { type = "text", change = true }', 'such as { path = "status" }'),
    ("c_name = {", 'c_name = { type = "text", change = { pat = "name" } }', "did you mean `path`?"),
    ("c_name = {", 'c_name = { type = "text", change = { path = "a/b" } }', "must have small letters"),
    ("c_name = {", 'c_name = { type = "text", change = { path = "count" } }', "count is taken"),
    ("c_name = {", 'c_name = { type = "text", change = { path = "history" } }', "history is taken"),
    ("c_name = {", 'c_name = { type = "json", change = { path = "name" } }', "json cannot be changed"),
    ("c_name = {", 'c_name = { type = "bytea", change = { path = "name" } }', "bytea cannot be changed"),
    ("c_name = {", 'c_name = { type = "int[]", change = { path = "name" } }', "int[] cannot be changed"),
    (
        "c_segment = {",
        'c_segment = { type = "text", values = ["A"], change = { path = "s", transitions = ["A>C"] } }',
        "A>C must be two of A",
    ),
    (
        "c_segment = {",
        'c_segment = { type = "text", change = { path = "s", transitions = ["A-B"] } }',
        'A-B must have the form "from>to"',
    ),
    ("c_tags = {", 'sort = { type = "text", filter = "any" }', "sort is a parameter of its own"),
    ("c_tags = {", 'page = { type = "int", filter = "any" }', "page is a parameter of its own"),
    ("c_tags = {", 'c_balance_min = { type = "int", filter = "any" }', "is a parameter of c_balance too"),
    ("c_tags = {", 'c_balance_null = { type = "int", filter = "any" }', "is a parameter of c_balance too"),
    ("c_tags = {", 'c_name_prefix = { type = "int", filter = "any" }', "is a parameter of c_name too"),
    ("c_tags = {", 'c_seen_from = { type = "int", filter = "any" }', "is a parameter of c_seen too"),
    ("c_more = {", 'c_tags_contains = { type = "int", filter = "any" }', "is a parameter of c_tags too"),
    ("c_tags = {", '_own = { type = "text", change = { path = "m" } }', "cannot begin with _"),
    ("c_tags = {", f'{"x" * 60} = {{ type = "text", change = {{ path = "m" }} }}', "_changed_ before it"),
    ("c_tags = {", f'{"x" * 64} = {{ type = "text" }}', "longer than the 63 bytes"),
    ("c_tags = {", 'c_x = { type = "text", change = { path = "segment" } }', "where c_segment is changed"),
    ("id = {", '"the id" = { type = "uuid" }\nid = { type = "json" }', "which cannot be json"),
]


@pytest.mark.parametrize(("old", "new", "says"), MISTAKES)
def test_each_mistake_is_told_by_its_line(old: str, new: str, says: str) -> None:
    lines = GOOD.splitlines()
    [at] = [at for at, line in enumerate(lines) if line.startswith(old)]
    lines[at : at + 1] = new.splitlines()
    told = [line for line in read("\n".join(lines)) if says in line]
    assert told
    if "is what a row of" not in says:
        at += new.count("\n")
        assert told[0].startswith(f"tables.toml line {at + 1}: ")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("interval", "extract(epoch FROM …)"),
        ("interval year to month", "extract(epoch FROM …)"),
        ("tstzrange", "lower(…) and upper(…)"),
        ("int4multirange", "lower(…) and upper(…)"),
        ("point", "ST_AsGeoJSON"),
        ("geometry(Point,4326)", "ST_AsGeoJSON"),
        ("money", "::numeric"),
        ("xml", "::text"),
        ("timetz", "timestamptz or time"),
        ("time(3) with time zone", "timestamptz or time"),
        ("integer[][]", "only arrays of single values"),
        ("jsonb[]", "only arrays of single values"),
        ("interval[]", "extract(epoch FROM …)"),
        ("inet", "::text"),
        ("record", "as columns"),
        ("boolean(3)", "boolean has no length"),
        ("text; DROP TABLE x", "is not known"),
    ],
)
@pytest.mark.parametrize("more", ["", ', values = ["a"]'])
def test_a_type_that_is_not_served_is_refused_with_the_way_out(kind: str, says: str, more: str) -> None:
    text = GOOD.replace('c_name = { type = "varchar(25)"', f'c_name = {{ type = "{kind}"{more}')
    told = [line for line in read(text) if "c_name.type" in line]
    assert len(told) == 1
    assert says in told[0]


NO_RANGE = ("boolean", "jsonb", "text", "uuid", "int[]", "bytea")


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        *(("range", kind) for kind in NO_RANGE),
        *(("prefix", kind) for kind in ("int", "jsonb", "text[]", "uuid", "date")),
        *(("contains", kind) for kind in ("text", "int", "json", "bytea[]")),
        *(("any", kind) for kind in ("json", "jsonb", "real", "double precision", "text[]", "bytea")),
    ],
)
def test_a_filter_must_fit_the_type(asked: str, kind: str) -> None:
    text = GOOD.replace(
        'c_name = { type = "varchar(25)", filter = ["any", "prefix"]',
        f'c_name = {{ type = "{kind}", filter = "{asked}"',
    )
    [told] = read(text)
    assert told.startswith(
        f"tables.toml line 9: customers.columns.c_name.filter: {asked} does not fit {kind}"
    )


TAKEN = ["docs", "health", "livez", "readyz", "metrics", "status", "usage", "audit", "me", "problems", "api"]


@pytest.mark.parametrize(
    "name", [*TAKEN, '"openapi.json"', "Customers", '"my customers"', "_x", "1a", "x" * 60]
)
def test_a_name_that_is_taken_or_not_for_urls_is_refused(name: str) -> None:
    text = GOOD.replace("[customers", f"[{name}")
    assert [line for line in read(text) if line.startswith("tables.toml line 2: ")]


def test_a_table_that_says_nothing_is_told_all_that_is_missing() -> None:
    text = '\n[customers]\nwrites = "off"\n'
    assert [line.partition("customers: has no ")[2].split()[0] for line in read(text)] == [
        "`key`,",
        "`source`,",
        "columns:",
    ]
    assert [
        line for line in read("[a]\nsource = 'a.b'\nkey = 'id'\ncolumns = {}\n") if "column at least" in line
    ]


def test_no_table_at_all_is_a_mistake() -> None:
    [told] = read("# nothing\n")
    assert told.startswith("tables.toml line 1: declares no table")
    [told] = read("title = 'mine'\n" + GOOD)
    assert told == "tables.toml line 1: title: must be a table, as [customers] begins one."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[customers\n", 1),
        (GOOD + "\nx = \n", GOOD.count("\n") + 2),
        (GOOD + '\nx = """no end', GOOD.count("\n") + 2),
    ],
)
def test_what_is_no_toml_is_told_by_its_line(text: str, line: int) -> None:
    [told] = read(text)
    assert told.startswith(f"tables.toml line {line}: is no TOML: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "\n[customers]\n", f"{GOOD.count(chr(10)) + 2}: customers is there already, in line 2"),
        (
            GOOD.replace('c_name = { type = "varchar(25)"', 'c_custkey = { type = "text"'),
            "9: customers.columns.c_custkey is there already, in line 8",
        ),
        (
            GOOD.replace('type = "bigint"', 'type = "bigint", type = "text"'),
            "8: customers.columns.c_custkey.type is there already, in line 8",
        ),
    ],
)
def test_what_is_declared_twice_is_told_by_both_lines(text: str, says: str) -> None:
    assert read(text) == [f"tables.toml line {says}: take one away. What follows was not looked at."]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("bigint", "bigin").replace("date", "dat").replace('one = "customer"', "one = 1")
    told = read(text)
    assert [int(line.split()[2].rstrip(":")) for line in told] == [5, 8, 24]


def test_names_that_collide_with_nothing_are_served() -> None:
    more = (
        'sort = { type = "text" }\nmessage = { type = "text" }\nc_balance_min = { type = "int" }\n'
        '"Odd Name" = { type = "text", filter = "any" }\n_own = { type = "int", filter = "any" }\n'
    )
    assert read(GOOD.replace('c_tags = { type = "text[]"', f'{more}c_tags = {{ type = "text[]"')) == []
    twice = GOOD + GOOD[: GOOD.index("[seen]")].replace("customer", "client").replace(
        "client_s", "customer_s"
    )
    assert read(twice) == []


def test_a_key_of_a_table_with_changes_does_not_begin_as_what_is_kept_beside_it() -> None:
    [told] = read(GOOD.replace("c_custkey", "_id"))
    assert told.startswith("tables.toml line 8: ")
    assert read(GOOD.replace("c_custkey", "version").replace("c_segment", "status")) == []
    assert read(GOOD.replace("c_custkey", "_id").replace(', change = { path = "segment" }', "")) == []


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("customers", "customer"),
        ("companies", "company"),
        ("addresses", "address"),
        ("boxes", "box"),
        ("batches", "batch"),
        ("line-items", "line_item"),
        ("houses", "house"),
        ("data", "data"),
        ("corpus", "corpus"),
    ],
)
def test_what_a_row_is_called_is_the_name_without_its_plural(name: str, one: str) -> None:
    text = GOOD.replace("[customers", f"[{name}").replace('one = "customer"\n', "")
    tables, mistakes = read_tables(text, "tables.toml")
    assert (mistakes, tables[0].one) == ([], one)


def test_a_transition_may_have_its_sign_in_a_value() -> None:
    text = GOOD.replace(
        'values = ["A", "B"], change = { path = "segment" }',
        'values = ["a>b", "c"], change = { path = "s", transitions = ["a>b>c", "c>null"] }',
    )
    tables, mistakes = read_tables(text, "tables.toml")
    assert mistakes == []
    change = tables[0].by_name["c_segment"].change
    assert change is not None
    assert change.transitions == (("a>b", "c"), ("c", "null"))


def test_the_settings_win_for_orders() -> None:
    settings = {
        "DEFAULT_POSTGRES_SCHEMA": "sales",
        "DEFAULT_POSTGRES_TABLE": "Orders",
        "STATUS_WRITES": "direct",
        "STATUS_TRANSITIONS": "O>P",
    }
    [orders] = [
        table for table in load_tables(load_settings({**STATIC, **OWN, **settings})) if table.name == "orders"
    ]
    assert (orders.schema, orders.source, orders.writes) == ("sales", "Orders", Writes.DIRECT)
    assert orders.changeable[0].change is not None
    assert orders.changeable[0].change.transitions == (("O", "P"),)


def test_what_the_settings_do_not_say_of_orders_the_file_does(tmp_path: Path) -> None:
    text = (ROOT / "tables.toml").read_text().replace("public.orders_synced", "sales.bought")
    text = text.replace('"overlay"', '"direct"').replace('"status" }', '"status", transitions = ["O>F"] }')
    [orders] = load(tmp_path, text)
    assert (orders.schema, orders.source, orders.writes) == ("sales", "bought", Writes.DIRECT)
    assert orders.changeable[0].change is not None
    assert orders.changeable[0].change.transitions == (("O", "F"),)


def refuse(environment: dict[str, str]) -> list[str]:
    with pytest.raises(TablesError) as caught:
        load_tables(load_settings({**STATIC, **OWN, **environment}))
    return caught.value.mistakes


def test_settings_of_orders_that_do_nothing_are_warned_of(tmp_path: Path) -> None:
    given = {"STATUS_WRITES": "off", "DEFAULT_POSTGRES_TABLE": "o", "STATUS_TRANSITIONS": "O>P"}
    settings = load_settings({**STATIC, **given})
    assert list(find_settings_of_orders(settings, load(tmp_path, GOOD))) == [
        "DEFAULT_POSTGRES_TABLE is of orders, which is not declared",
        "STATUS_WRITES is of orders, which is not declared",
        "STATUS_TRANSITIONS is of orders, which is not declared",
        "STATUS_WRITES=off is of orders alone: customers may be changed",
    ]
    orders = load_tables(load_settings({**STATIC, **OWN, **given}))
    assert list(find_settings_of_orders(settings, orders)) == []
    assert list(find_settings_of_orders(load_settings(STATIC), load(tmp_path, GOOD))) == []


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    [line] = refuse({"TABLES_FILE": str(tmp_path / "absent.toml")})
    assert line.startswith(f"TABLES_FILE: there is no file {tmp_path}/absent.toml")
    [line] = refuse({"TABLES_FILE": str(tmp_path)})
    assert line.startswith(f"TABLES_FILE: {tmp_path} cannot be read")
    (tmp_path / "latin.toml").write_bytes(GOOD.encode() + b"# M\xe4rz\n")
    [line] = refuse({"TABLES_FILE": str(tmp_path / "latin.toml")})
    assert line == f"{tmp_path}/latin.toml line {GOOD.count(chr(10)) + 1}: is not UTF-8."
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    load_tables(load_settings({**STATIC, "TABLES_FILE": str(tmp_path / "marked.toml")}))


def test_the_service_does_not_start_and_tells_every_mistake_without_a_traceback(
    tmp_path: Path, unchanged_database: OrdersDatabase
) -> None:
    file = tmp_path / "tables.toml"
    file.write_text(GOOD.replace("bigint", "bigin").replace('one = "sight"', "two = 2"))
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=ROOT,
        env={**unchanged_database.environment, "TABLES_FILE": str(file), "BIND": "127.0.0.1:0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode != 0
    assert ended.stderr.splitlines() == [
        "The tables need mending:",
        f"  {file} line 8: customers.columns.c_custkey.type: bigin is not known; did you mean `bigint`? "
        "An enum has its `values` beside it, a domain the name of the type below.",
        f"  {file} line 20: seen.two: is not known here.",
    ]


def test_the_declarations_in_the_documents_load() -> None:
    blocks = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "docs/tables.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        assert read(block) == []


def test_the_documents_name_what_is_taken() -> None:
    [row] = [line for line in (ROOT / "docs/tables.md").read_text().splitlines() if "which are taken" in line]
    assert re.findall("`([a-z]+)`", row.partition("Not ")[2]) == sorted(TAKEN_NAMES)


def test_a_synced_table_is_declared_and_its_setting_wins_for_orders(tmp_path: Path) -> None:
    text = (
        (ROOT / "tables.toml")
        .read_text()
        .replace("[orders]\n", '[orders]\nsynced_table = "main.shop.orders"\n', 1)
    )
    [declared] = load(tmp_path, text)
    assert declared.synced_table == "main.shop.orders"
    [orders] = load(tmp_path, text, SYNCED_TABLE="other-one.shop.Bestellungen_ä")
    assert orders.synced_table == "other-one.shop.Bestellungen_ä"
    [without] = load_tables(load_settings({**STATIC, **OWN}))
    assert without.synced_table is None


@pytest.mark.parametrize("name", ["orders", "shop.orders", "main..orders", "main.shop.or ders", "a.b.`c`"])
def test_a_setting_that_names_no_synced_table_is_a_mistake(name: str) -> None:
    [mistake] = mistakes({**STATIC, "SYNCED_TABLE": name})
    assert mistake == "SYNCED_TABLE: Must be catalog.schema.table, as Unity Catalog names the copy."
