"""Declarations written from a database: what is guessed, what is left out, and what loads."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakebase_api.doctor.report import run_checks
from lakebase_api.introspection.command import Refused, check_declared, introspect
from lakebase_api.lakebase.findings import State
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.table.declaration import Filter, Table
from lakebase_api.table.loading import read_tables
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.gunicorn_process import ROOT
from tests.waiting import PATIENCE

SET_UP = f"""
CREATE SCHEMA app;
CREATE SCHEMA "My Schema";
CREATE TYPE app."Mood" AS ENUM ('good', 'so so', 'bad "and" worse');
CREATE TYPE public.colour AS ENUM ('red');
CREATE DOMAIN app.amount AS numeric(12,2) NOT NULL;
CREATE DOMAIN app.price AS app.amount;
CREATE DOMAIN app.tag AS text;
CREATE TYPE app.pair AS (a int, b int);

CREATE TABLE public.customer_synced (
    c_custkey bigint PRIMARY KEY,
    c_name varchar(25) NOT NULL,
    c_nationkey integer NOT NULL,
    c_acctbal numeric(15,2),
    c_segment char(10),
    c_mood app."Mood",
    c_phone text,
    c_comment text
);
INSERT INTO public.customer_synced
SELECT i, 'Customer#' || i, i % 25,
        i / 7.0, (ARRAY['AUTOMOBILE', 'BUILDING'])[1 + i % 2], 'good', 'p' || i, 'x'
FROM generate_series(1, 20000) AS i;
CREATE INDEX customer_nation ON public.customer_synced (c_nationkey);
CREATE INDEX customer_name ON public.customer_synced (c_name varchar_pattern_ops);
CREATE INDEX customer_balance ON public.customer_synced (c_acctbal);
CREATE INDEX customer_partial ON public.customer_synced (c_phone) WHERE c_custkey > 5;

CREATE TABLE app.everything (
    a smallint NOT NULL, b text NOT NULL,
    a_real real, a_double double precision, a_bool boolean, a_uuid uuid, a_date date,
    a_time time(3), a_timestamp timestamp, a_timestamptz timestamptz(3), a_json json, a_jsonb jsonb,
    a_bytea bytea, some_texts text[], some_moods app."Mood"[], a_price app.price, a_tag app.tag,
    a_colour public.colour,
    an_interval interval, a_range tstzrange, a_multirange int4multirange, a_point point, a_pair app.pair,
    a_money money, an_xml xml, an_inet inet, some_tags app.tag[], some_json jsonb[], a_timetz timetz,
    a_generated int GENERATED ALWAYS AS (a * 2) STORED,
    sort integer, page_size text, a_min integer, "Odd ""Name"".x
y" integer, _own text, message text,
    UNIQUE (b, a)
);
CREATE UNIQUE INDEX another ON app.everything (a_uuid);
CREATE INDEX ON app.everything USING gin (some_texts);
CREATE INDEX ON app.everything USING gin (a_jsonb);
CREATE INDEX ON app.everything (sort);
CREATE INDEX ON app.everything (a);

CREATE VIEW app.shown AS SELECT c_custkey AS id, c_segment FROM public.customer_synced;
CREATE MATERIALIZED VIEW app.kept AS SELECT c_custkey AS id, c_segment FROM public.customer_synced;
CREATE UNIQUE INDEX kept_id ON app.kept (id);
CREATE TABLE app.parted (day date NOT NULL, id uuid NOT NULL, n int, PRIMARY KEY (day, id))
    PARTITION BY RANGE (day);
CREATE TABLE app.parted_1 PARTITION OF app.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE app.several (x int NOT NULL, y int NOT NULL, z int);
CREATE UNIQUE INDEX several_y ON app.several (y);
CREATE UNIQUE INDEX several_x ON app.several (x);
CREATE UNIQUE INDEX several_z ON app.several (z);
CREATE UNIQUE INDEX several_partial ON app.several (x) WHERE y > 1;
CREATE UNIQUE INDEX several_expression ON app.several ((x + 1));
CREATE TABLE app.keyless (x int, y int NOT NULL);
CREATE UNIQUE INDEX ON app.keyless (x);
CREATE TABLE app.numbered (id numeric(20,0) PRIMARY KEY);
CREATE TABLE "My Schema"."T.x" ("The Id" uuid PRIMARY KEY, "select" text, "ü" text);
GRANT USAGE ON SCHEMA app, "My Schema" TO {ROLE};
GRANT SELECT ON ALL TABLES IN SCHEMA public, app, "My Schema" TO {ROLE};
ANALYZE;
"""
EVERYTHING = [
    "public.customer_synced=customers",
    "app.everything",
    "app.kept",
    "app.parted",
    "app.several",
    '"My Schema"."T.x"=odd-things',
]


@pytest.fixture(scope="module")
def varied(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database with tables of all sorts."""
    database = clone_database(server, "introspected")
    database.execute(SET_UP)
    return database


@pytest.fixture
def written(varied: OrdersDatabase) -> str:
    return introspect(varied.environment, EVERYTHING, shows_all=True)


def load(text: str) -> dict[str, Table]:
    tables, mistakes = read_tables(text, "tables.toml")
    assert mistakes == []
    return {table.name: table for table in tables}


def uncomment(text: str) -> str:
    """What an editor makes of it that takes the first sign of a comment away from every line."""
    return re.sub("^# ?", "", text, flags=re.MULTILINE)


def find_line(text: str, start: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith(start)]
    return line


def test_what_is_written_loads_and_is_the_same_each_time(varied: OrdersDatabase, written: str) -> None:
    tables = load(written)
    assert list(tables) == ["customers", "everything", "kept", "parted", "several", "odd-things"]
    assert introspect(varied.environment, EVERYTHING, shows_all=True) == written
    load((ROOT / "tables.toml").read_text().rstrip("\n") + written)


def test_columns_are_opt_in(varied: OrdersDatabase, written: str) -> None:
    text = introspect(varied.environment, EVERYTHING)
    tables = load(text)
    assert {name: table.names for name, table in tables.items()} == {
        name: table.names for name, table in tables.items() if set(table.names) == set(table.key_names)
    }
    assert "# c_name = { type" in text
    assert {name: table.names for name, table in load(uncomment(text)).items()} == {
        name: table.names for name, table in load(written).items()
    }
    wanted = text.replace("# c_name = {", "c_name = {").replace("# c_mood = {", "c_mood = {", 1)
    assert load(wanted)["customers"].names == ("c_custkey", "c_name", "c_mood")


def test_the_key_is_the_primary_key_or_a_unique_index_and_the_others_are_named(written: str) -> None:
    tables = load(written)
    assert tables["customers"].key_names == ("c_custkey",)
    assert tables["everything"].key_names == ("b", "a")
    assert tables["kept"].key_names == ("id",)
    assert tables["parted"].key_names == ("day", "id")
    assert tables["several"].key_names == ("x",)
    assert 'key = ["x"]  # unique index several_x; unique as well: several_y (y)' in written.splitlines()
    assert 'key = ["c_custkey"]  # primary key' in written.splitlines()


def test_filters_and_sorts_are_for_what_has_an_index_or_few_values_with_the_figures(written: str) -> None:
    columns = load(written)["customers"].by_name
    assert columns["c_custkey"].filters == ()
    assert columns["c_name"].filters == (Filter.ANY, Filter.PREFIX)
    assert columns["c_nationkey"].filters == (Filter.ANY,)
    assert columns["c_acctbal"].filters == (Filter.RANGE,)
    assert columns["c_segment"].filters == (Filter.ANY,)
    assert columns["c_mood"].filters == (Filter.ANY,)
    assert columns["c_mood"].values == ("good", "so so", 'bad "and" worse')
    assert columns["c_phone"].filters == ()
    assert [name for name, column in columns.items() if not column.is_sortable] == ["c_phone"]
    assert find_line(written, "c_nationkey").endswith(
        "# index customer_nation; 25 different values in 20,000 rows"
    )
    assert '## CREATE INDEX CONCURRENTLY ON "public"."customer_synced" ("c_phone");' in written
    everything = load(written)["everything"].by_name
    assert everything["some_texts"].filters == (Filter.CONTAINS,)
    assert everything["a_jsonb"].filters == (Filter.CONTAINS,)
    assert everything["some_moods"].filters == ()
    assert everything["a_tag"].filters == ()
    assert '## CREATE INDEX CONCURRENTLY ON "app"."everything" USING gin ("some_moods");' in written


def test_types_and_nulls_are_those_of_the_database(written: str) -> None:
    columns = load(written)["everything"].by_name
    found = {name: column.type.name for name, column in columns.items()}
    assert found["a_timestamptz"] == "timestamptz(3)"
    assert found["a_time"] == "time(3)"
    assert found["a_timestamp"] == "timestamp"
    assert found["a_colour"] == "public.colour"
    assert found["a_price"] == "numeric(12,2)"
    assert found["a_tag"] == "text"
    assert found["some_moods"] == 'app."Mood"[]'
    assert not columns["a_price"].may_be_null
    assert columns["a_tag"].may_be_null
    assert load(written)["customers"].by_name["c_name"].type.name == "varchar(25)"
    assert load(written)["customers"].by_name["c_segment"].type.name == "char(10)"


def test_what_cannot_be_served_is_named_with_the_way_out(written: str) -> None:
    unserved = {
        "an_interval": "extract(epoch",
        "a_range": "lower(…)",
        "a_multirange": "lower(…)",
        "a_point": "geometry",
        "a_pair": "composite",
        "a_money": "::numeric",
        "an_xml": "::text",
        "an_inet": "::text",
        "some_tags": "arrays of domains",
        "some_json": "arrays of single values",
        "a_timetz": "timestamptz or time",
    }
    for name, says in unserved.items():
        assert says in find_line(written, f"## Left out: {name},")
        assert name not in load(written)["everything"].by_name


def test_names_that_would_collide_are_declared_without_what_collides(written: str) -> None:
    columns = load(written)["everything"].by_name
    assert columns["sort"].filters == ()
    assert 'Odd "Name".x\ny' not in columns
    assert '## Left out: Odd "Name".x?y, integer: ' in written
    assert load(written)["odd-things"].source == "T.x"
    assert set(load(written)["odd-things"].names) == {"The Id", "select", "ü"}


def test_of_a_table_that_was_never_looked_through_nothing_is_guessed(varied: OrdersDatabase) -> None:
    varied.execute("CREATE TABLE app.fresh AS SELECT i AS id, 'x' AS name FROM generate_series(1, 9) AS i")
    varied.execute("ALTER TABLE app.fresh ADD PRIMARY KEY (id)")
    varied.execute("UPDATE pg_class SET reltuples = -1 WHERE relname = 'fresh'")
    varied.execute("SELECT pg_stat_reset_single_table_counters('app.fresh'::regclass)")
    text = introspect(varied.environment, ["app.fresh"], shows_all=True)
    assert 'source = "app.fresh"  # table' in text.splitlines()
    [fresh] = load(text).values()
    assert (fresh.by_name["name"].filters, fresh.by_name["name"].is_sortable) == ((), False)
    varied.execute("ANALYZE app.fresh")
    [fresh] = load(introspect(varied.environment, ["app.fresh"], shows_all=True)).values()
    assert (fresh.by_name["name"].filters, fresh.by_name["name"].is_sortable) == ((Filter.ANY,), True)


def test_how_a_column_is_changed_is_said_beside_it_and_loads_once_it_is_added(varied: OrdersDatabase) -> None:
    for name in EVERYTHING[:2]:
        text = introspect(varied.environment, [name], shows_all=True)
        [line] = [line for line in text.splitlines() if "to have it changed, add " in line]
        declared, _, change = line.partition("; to have it changed, add ")
        wanted = declared.replace(" }  #", f", {change} }}  #", 1)
        [table] = load(text.replace(line, wanted)).values()
        assert [changed.name for changed in table.changeable] == [line.partition(" =")[0]]


def test_each_filter_and_each_sort_that_is_left_out_has_its_reason(written: str) -> None:
    guesses = [line for line in written.splitlines() if re.search(r"filter = |sort = false", line)]
    assert len(guesses) > 10
    assert [line for line in guesses if " }  # " not in line] == []
    assert "  # true or false; " in find_line(written, "a_bool")
    assert find_line(written, "a_colour").endswith("  # an enum")
    assert "# index customer_name, which finds prefixes; 20,000 different" in find_line(written, "c_name")
    assert find_line(written, "c_phone").endswith("; no index to sort by")
    assert "; no filter: sort is a parameter of its own" in find_line(written, "sort")


def test_the_rights_are_at_the_end(written: str) -> None:
    assert written.splitlines()[-3:] == [
        f'## GRANT SELECT ON "app"."parted" TO "{ROLE}";',
        f'## GRANT SELECT ON "app"."several" TO "{ROLE}";',
        f'## GRANT SELECT ON "My Schema"."T.x" TO "{ROLE}";',
    ]
    assert f'## GRANT USAGE ON SCHEMA "My Schema" TO "{ROLE}";' in written


def test_the_rights_are_also_those_on_the_schema_of_an_enum(varied: OrdersDatabase) -> None:
    text = introspect(varied.environment, ["public.customer_synced"])
    assert f'## GRANT USAGE ON SCHEMA "app" TO "{ROLE}";\n## GRANT USAGE ON SCHEMA "public"' in text


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("app.keyless", "--key"),
        ("app.shown", "key = […]"),
        ("app.numbered", "a key cannot be numeric(20,0)"),
        ("app.none", "there is no such table or view"),
        ("customer_synced", "must be SCHEMA.TABLE"),
        ("app.kept=status", "status is taken"),
        ("app.kept=Kept", "must have small letters"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_reason(
    varied: OrdersDatabase, name: str, says: str
) -> None:
    with pytest.raises(Refused, match=re.escape(says)):
        introspect(varied.environment, [name])


def test_the_key_of_a_view_is_said(varied: OrdersDatabase) -> None:
    text = introspect(varied.environment, ["app.shown"], key=["id"], shows_all=True)
    assert load(text)["shown"].key_names == ("id",)
    assert load(text)["shown"].by_name["c_segment"].may_be_null
    with pytest.raises(Refused, match="it has no column ident; it has id, c_segment"):
        introspect(varied.environment, ["app.shown"], key=["ident"])
    with pytest.raises(Refused, match="of one table"):
        introspect(varied.environment, ["app.shown", "app.kept"], key=["id"])


@pytest.fixture
def declared(written: str, tmp_path: Path) -> Path:
    file = tmp_path / "tables.toml"
    file.write_text(written)
    return file


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lakebase_api", "introspect", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_what_was_written_is_as_declared(varied: OrdersDatabase, declared: Path) -> None:
    before = declared.read_bytes()
    ended = run({**varied.environment, "TABLES_FILE": str(declared)}, "--check")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line for line in ended.stdout.splitlines() if line[0] != " "] == [
        f"{name}: as declared"
        for name in ("customers", "everything", "kept", "parted", "several", "odd-things")
    ]
    assert declared.read_bytes() == before


@pytest.fixture
def changing(varied: OrdersDatabase) -> Iterator[OrdersDatabase]:
    varied.execute(
        "CREATE TABLE app.moving (id int PRIMARY KEY, gone text, kind int NOT NULL, name varchar(5) NOT NULL,"
        ' mood app."Mood", wide int);'
        f"GRANT SELECT ON app.moving TO {ROLE}"
    )
    yield varied
    varied.execute("DROP TABLE IF EXISTS app.moving")


def test_the_differences_are_shown_and_nothing_is_rewritten(changing: OrdersDatabase, tmp_path: Path) -> None:
    file = tmp_path / "tables.toml"
    file.write_text(introspect(changing.environment, ["app.moving", "app.kept"], shows_all=True))
    before = file.read_bytes()
    changing.execute(
        "ALTER TABLE app.moving DROP COLUMN gone, ALTER kind TYPE text, ALTER name TYPE varchar(9),"
        " ALTER name DROP NOT NULL, ADD added date, ALTER wide TYPE bigint,"
        " DROP CONSTRAINT moving_pkey"
    )
    environment = {**changing.environment, "TABLES_FILE": str(file)}
    ended = run(environment, "--check")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.splitlines() == [
        "moving: differs",
        "  - gone text",
        "  - kind integer",
        "  + kind text",
        "  - name varchar(5)",
        "  + name varchar(9)",
        "  - name null = false",
        "  + name null = true",
        "  - wide integer",
        "  + wide bigint",
        "  - key [id]",
        "  + key no unique index",
        "  not declared: added date",
        "kept: as declared",
    ]
    assert file.read_bytes() == before
    assert check_declared(environment, ["kept"])
    with pytest.raises(Refused, match="does not declare none"):
        check_declared(environment, ["none"])
    changing.execute("DROP TABLE app.moving")
    ended = run(environment, "--check", "moving")
    assert (ended.returncode, ended.stdout) == (1, "moving: differs\n  - source app.moving\n")


def test_the_command_prints_what_may_be_appended_and_warns_of_what_is_there(
    varied: OrdersDatabase, declared: Path
) -> None:
    environment = {**varied.environment, "TABLES_FILE": str(declared)}
    ended = run(environment, "app.kept=others", "--all")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "others" in tomllib.loads(declared.read_text() + ended.stdout)
    ended = run(environment, "app.kept")
    assert ended.returncode == 0
    assert "has [kept] already" in ended.stderr
    ended = run(environment, "app.keyless")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    ended = run({**environment, "PGPASSWORD": "hunter2"}, "app.kept")
    assert ended.returncode == 1
    assert ended.stderr.startswith("login: ")


def test_the_doctor_finds_no_fault_with_what_was_written(varied: OrdersDatabase, declared: Path) -> None:
    checks = list(run_checks({**varied.environment, "TABLES_FILE": str(declared)}))
    assert [check for check in checks if check.state is not State.OK] == []
    assert {"customers", "everything", "kept", "parted", "several", "odd-things"} <= {
        check.table for check in checks
    }
