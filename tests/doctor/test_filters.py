"""Indexes for those who filter, on real tables that are large enough to want them."""

import json

import psycopg
import pytest

from lakebase_api.__main__ import main
from lakebase_api.doctor.filters import SMALL
from lakebase_api.lakebase.findings import Check, State
from tests.conftest import ORDERS
from tests.doctor.conftest import APP, Shop

pytestmark = pytest.mark.slow

OF_MANY_VALUES = ("o_custkey", "o_totalprice", "o_orderdate", "o_clerk")
COLUMNS = "o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority"
# Larger than what is small, with keys of their own.
MORE = f"""
INSERT INTO {{table}} SELECT o_orderkey + 100000 * n, {COLUMNS}, 'much alike'
FROM orders_synced, generate_series(1, {SMALL // ORDERS + 1}) AS n;
ANALYZE {{table}};
"""
PARTITIONED = """
CREATE TABLE parted (LIKE orders_synced) PARTITION BY RANGE (o_orderkey);
CREATE TABLE low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (300000);
CREATE TABLE rest PARTITION OF parted FOR VALUES FROM (300000) TO (MAXVALUE) PARTITION BY RANGE (o_orderkey);
CREATE TABLE middle PARTITION OF rest FOR VALUES FROM (300000) TO (500000);
CREATE TABLE high PARTITION OF rest FOR VALUES FROM (500000) TO (MAXVALUE);
CREATE INDEX ON parted (o_orderkey);
"""


@pytest.fixture
def large(shop: Shop) -> Shop:
    """A shop with more orders than are looked through in a moment."""
    grow(shop, "orders_synced")
    return shop


def grow(shop: Shop, table: str) -> None:
    shop.execute(MORE.format(table=table))


def look(shop: Shop) -> Check:
    [check] = [check for check in shop.examination.examine(shop.log_in()) if check.name == "filters"]
    return check


def named(check: Check) -> list[str]:
    """The columns for which it prints an index."""
    return [statement.rpartition("(")[2].partition(",")[0] for statement in check.sql]


def explain(shop: Shop, condition: str) -> str:
    """How a page of the filtered orders is found."""
    page = f"SELECT * FROM orders_synced WHERE {condition} AND o_orderkey > 5 ORDER BY o_orderkey LIMIT 100"
    return "\n".join(str(line) for (line,) in shop.execute(f"EXPLAIN {page}"))


def test_a_small_table_needs_no_index(shop: Shop) -> None:
    check = look(shop)
    assert check.state is State.OK
    assert check.says == "about 15,000 rows, which need no index but that of the key"


def test_a_large_table_is_told_its_indexes_and_their_sql_ends_the_advice(large: Shop) -> None:
    check = look(large)
    assert check.state is State.ADVICE
    assert named(check) == list(OF_MANY_VALUES)
    assert check.sql[0] == 'CREATE INDEX CONCURRENTLY ON "public"."orders_synced" (o_custkey, o_orderkey)'
    assert "o_orderstatus (3 values) and o_orderpriority (5 values) do without" in check.says
    assert "lost when it is created anew" in check.mend
    assert "the owner, postgres, runs" in check.mend
    # Through the key's index or the table alone, as the statistics have it: every order is looked at.
    assert "Filter: " in explain(large, "o_custkey = 370")
    large.mend(check)
    mended = look(large)
    assert mended.state is State.OK
    assert mended.says.startswith("every column of many values has an index; o_orderstatus (3 values)")
    plan = explain(large, "o_custkey = 370")
    assert "orders_synced_o_custkey_o_orderkey_idx" in plan
    assert "Seq Scan" not in plan


def test_advice_is_no_fault(large: Shop) -> None:
    assert large.find_faults() == {}


def test_indexes_that_help_are_those_that_begin_with_the_column_and_have_every_row(large: Shop) -> None:
    for useless in (
        "(o_orderkey, o_custkey)",
        "(o_custkey) WHERE o_orderstatus = 'F'",
        "USING hash (o_custkey)",
        "USING brin (o_custkey)",
        "((o_custkey + 1))",
    ):
        large.execute(f"CREATE INDEX ON orders_synced {useless}")
    assert named(look(large)) == list(OF_MANY_VALUES)
    large.execute("CREATE INDEX useful ON orders_synced (o_custkey DESC) INCLUDE (o_clerk)")
    assert named(look(large)) == list(OF_MANY_VALUES[1:])
    large.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'useful'::regclass")
    check = look(large)
    assert named(check) == list(OF_MANY_VALUES)
    assert "useful is not valid" in check.says


def test_every_column_may_have_an_index(large: Shop) -> None:
    for name in (*OF_MANY_VALUES, "o_orderstatus", "o_orderpriority"):
        large.execute(f"CREATE INDEX ON orders_synced ({name})")
    check = look(large)
    assert check.state is State.OK
    assert check.says.endswith("o_clerk have indexes")


def test_a_partitioned_table_is_told_what_works_there(shop: Shop) -> None:
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "parted"
    shop.execute(f'{PARTITIONED} GRANT SELECT ON parted TO "{APP}"')
    grow(shop, "parted")
    check = look(shop)
    assert named(check) == list(OF_MANY_VALUES)
    assert check.sql[0] == 'CREATE INDEX ON "public"."parted" (o_custkey, o_orderkey)'
    assert "takes no CONCURRENTLY" in check.mend
    shop.execute("CREATE INDEX ON low (o_clerk); CREATE INDEX ON middle (o_clerk)")
    assert named(look(shop)) == list(OF_MANY_VALUES)
    shop.execute("CREATE INDEX ON high (o_clerk)")
    check = look(shop)
    assert named(check) == ["o_custkey", "o_totalprice", "o_orderdate"]
    shop.mend(check)
    assert look(shop).state is State.OK


def test_a_materialized_view_has_indexes_of_its_own(large: Shop) -> None:
    large.environment["DEFAULT_POSTGRES_TABLE"] = "seen"
    large.execute("CREATE MATERIALIZED VIEW seen AS SELECT * FROM orders_synced; ANALYZE seen")
    large.execute(f'GRANT SELECT ON seen TO "{APP}"')
    check = look(large)
    assert named(check) == list(OF_MANY_VALUES)
    large.mend(check)
    assert look(large).state is State.OK


def test_of_a_view_it_cannot_be_told(large: Shop) -> None:
    large.environment["DEFAULT_POSTGRES_TABLE"] = "seen"
    large.execute(f'CREATE VIEW seen AS SELECT * FROM orders_synced; GRANT SELECT ON seen TO "{APP}"')
    assert look(large).state is State.NOT_CHECKED


def test_names_that_need_quotes_are_quoted(large: Shop) -> None:
    large.environment |= {"DEFAULT_POSTGRES_SCHEMA": 'The "Shop"', "DEFAULT_POSTGRES_TABLE": "Orders; all"}
    large.execute('CREATE SCHEMA "The ""Shop"""; ALTER TABLE orders_synced SET SCHEMA "The ""Shop"""')
    large.execute('ALTER TABLE "The ""Shop""".orders_synced RENAME TO "Orders; all"')
    large.execute(f'GRANT USAGE ON SCHEMA "The ""Shop""" TO "{APP}"')
    check = look(large)
    assert named(check) == list(OF_MANY_VALUES)
    large.mend(check)
    assert look(large).state is State.OK


def test_a_table_without_statistics_has_as_many_rows_as_were_written(shop: Shop) -> None:
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "fresh"
    shop.execute("CREATE TABLE fresh (LIKE orders_synced INCLUDING ALL) WITH (autovacuum_enabled = off)")
    shop.execute(f'GRANT SELECT ON fresh TO "{APP}"')
    assert look(shop).state is State.OK
    shop.execute(MORE.format(table="fresh").partition("ANALYZE")[0])
    check = look(shop)
    assert check.state is State.ADVICE
    # Of a priority it is not declared how many there are.
    assert set(named(check)) == {*OF_MANY_VALUES, "o_orderpriority"}


def test_a_column_of_more_values_than_usual_is_as_any_other(large: Shop) -> None:
    large.execute("UPDATE orders_synced SET o_orderpriority = o_orderkey::text WHERE o_orderkey > 500000")
    large.execute("ANALYZE orders_synced")
    assert set(named(look(large))) == {*OF_MANY_VALUES, "o_orderpriority"}


def test_missing_columns_and_tables_are_for_other_checks(large: Shop) -> None:
    large.execute("ALTER TABLE orders_synced DROP o_clerk")
    assert named(look(large)) == ["o_custkey", "o_totalprice", "o_orderdate"]
    large.execute("ALTER TABLE orders_synced DROP o_orderkey")
    assert look(large).state is State.NOT_CHECKED
    large.execute("DROP TABLE orders_synced")
    assert look(large).state is State.NOT_CHECKED


def test_looking_waits_for_no_lock_on_the_table(large: Shop) -> None:
    conninfo = large.database.server.conninfo(large.database.name)
    session = large.log_in()
    session.execute("SET statement_timeout = '5s'")
    with psycopg.connect(conninfo) as holder:
        holder.execute("LOCK TABLE orders_synced IN ACCESS EXCLUSIVE MODE")
        assert "filters" in [check.name for check in large.examination.examine(session)]


def test_the_command_marks_advice_and_ends_well(
    large: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in large.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("✓ ")]
    assert line.startswith("! filters: no index of ")
    assert line.endswith('CREATE INDEX CONCURRENTLY ON "public"."orders_synced" (o_clerk, o_orderkey);')
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    [advice] = [check for check in document["checks"] if check["state"] == "advice"]
    assert len(advice["sql"]) == len(OF_MANY_VALUES)
