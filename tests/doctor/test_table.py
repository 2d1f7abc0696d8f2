"""What may stand for the orders table, and the index on its key."""

import pytest
from flask.testing import FlaskClient

from lakebase_api.settings import Settings
from lakebase_api.table.loading import load_tables
from lakebase_api.table.types import WHOLE
from tests.conftest import AppOpener
from tests.doctor.conftest import APP, Shop

[ORDERS] = load_tables(Settings())
# The types that serve, by column. Of the key none that a bigint does not hold.
TYPES = {**{column.name: column.type.family for column in ORDERS.columns}, "o_orderkey": WHOLE}
PATHS = ("/orders/1", "/orders/pages?page_size=3", "/orders/stream?cursor=2&page_size=3")
DROP_KEY = "ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey"
PARTITIONED = """
CREATE TABLE parted (LIKE orders_synced) PARTITION BY RANGE (o_orderkey);
CREATE TABLE low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE rest PARTITION OF parted FOR VALUES FROM (100) TO (MAXVALUE) PARTITION BY RANGE (o_orderkey);
CREATE TABLE middle PARTITION OF rest FOR VALUES FROM (100) TO (MAXVALUE);
"""


def answers(client: FlaskClient) -> list[object]:
    found = [client.get(path) for path in PATHS]
    assert [answer.status_code for answer in found] == [200] * len(PATHS)
    return [answer.json for answer in found]


@pytest.mark.parametrize("choice", range(max(map(len, TYPES.values()))))
def test_the_app_answers_the_same_from_every_type_that_is_accepted(
    shop: Shop, open_app: AppOpener, choice: int
) -> None:
    # What every type can hold: no cents, and texts of one length.
    shop.execute("UPDATE orders_synced SET o_totalprice = round(o_totalprice / 1000), o_comment = 'as usual'")
    shop.execute("UPDATE orders_synced SET o_orderpriority = '5-LOW'")
    lengths = {"o_orderstatus": 1, "o_orderpriority": 5, "o_clerk": 15, "o_comment": 8}
    columns = []
    for name, types in TYPES.items():
        chosen = types[min(choice, len(types) - 1)]
        length = f"({lengths[name]})" if chosen == "character" else ""
        columns.append(f"{name}::{chosen}{length} AS {name}")
    fitting = "FROM orders_synced WHERE o_orderkey < 30000"
    shop.execute(f"CREATE VIEW usual AS SELECT * {fitting}")
    shop.execute(f"CREATE VIEW other AS SELECT {', '.join(columns)} {fitting}")
    shop.execute(f'GRANT SELECT ON usual, other TO "{APP}"')
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "usual"
    expected = answers(open_app(shop.environment).test_client())
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "other"
    assert shop.find_faults() == {}
    assert answers(open_app(shop.environment).test_client()) == expected


def test_a_domain_counts_as_the_type_below_it(shop: Shop) -> None:
    shop.execute("CREATE DOMAIN money_amount AS numeric(18, 2) CHECK (VALUE >= 0)")
    shop.execute("ALTER TABLE orders_synced ALTER o_totalprice TYPE money_amount")
    assert shop.find_faults() == {}


@pytest.mark.parametrize(
    ("name", "other", "usual"),
    [
        ("o_orderdate", "timestamp", "date"),
        ("o_totalprice", "text", "numeric"),
        ("o_custkey", "text", "bigint"),
        ("o_shippriority", "text", "integer"),
    ],
)
def test_a_column_of_another_type_is_named_and_its_sql_mends_it(
    shop: Shop, name: str, other: str, usual: str
) -> None:
    shop.execute(f"ALTER TABLE orders_synced ALTER {name} TYPE {other}")
    faults = shop.find_faults()
    assert list(faults) == ["columns"]
    assert faults["columns"].says.startswith(f"{name} is {other}")
    assert faults["columns"].says.endswith(f"not {usual}")
    shop.mend(faults["columns"])
    assert shop.find_faults() == {}


def test_missing_columns_are_named(shop: Shop) -> None:
    shop.execute("ALTER TABLE orders_synced DROP o_clerk, DROP o_comment")
    check = shop.find_faults()["columns"]
    assert check.says == (
        '"public"."orders_synced" has no column o_clerk, "public"."orders_synced" has no column o_comment'
    )
    assert check.sql == ()


def test_a_key_without_an_index_is_found_and_its_sql_mends_it(shop: Shop) -> None:
    shop.execute(DROP_KEY)
    # None of these says that no order is there twice.
    shop.execute("CREATE INDEX ON orders_synced (o_orderkey)")
    shop.execute("CREATE UNIQUE INDEX ON orders_synced (o_orderkey, o_custkey)")
    shop.execute("CREATE UNIQUE INDEX ON orders_synced ((o_orderkey + 0))")
    shop.execute("CREATE UNIQUE INDEX ON orders_synced (o_orderkey) WHERE o_orderkey > 5")
    shop.execute("CREATE INDEX ON orders_synced USING hash (o_orderkey)")
    faults = shop.find_faults()
    assert list(faults) == ["index"]
    assert faults["index"].sql[0].startswith("CREATE UNIQUE INDEX CONCURRENTLY")
    shop.mend(faults["index"])
    assert shop.find_faults() == {}


def test_an_index_whose_building_failed_does_not_count_and_is_named(shop: Shop) -> None:
    shop.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_synced_pkey'::regclass")
    check = shop.find_faults()["index"]
    assert "orders_synced_pkey is not valid" in check.says
    shop.mend(check)
    assert shop.find_faults() == {}


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view_is_served(shop: Shop, open_app: AppOpener, kind: str) -> None:
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "seen"
    shop.execute(f'CREATE {kind} seen AS SELECT * FROM orders_synced; GRANT SELECT ON seen TO "{APP}"')
    faults = shop.find_faults()
    assert list(faults) == ([] if kind == "VIEW" else ["index"])
    for check in faults.values():
        shop.mend(check)
    assert shop.find_faults() == {}
    answers(open_app(shop.environment).test_client())


def test_a_partitioned_table_has_an_index_when_each_partition_has(shop: Shop, open_app: AppOpener) -> None:
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "parted"
    shop.execute(f'{PARTITIONED} GRANT SELECT ON parted TO "{APP}"')
    shop.execute("INSERT INTO parted SELECT * FROM orders_synced")
    assert '"public"."parted" has 2 of its partitions without' in shop.find_faults()["index"].says
    shop.execute("CREATE UNIQUE INDEX ON low (o_orderkey)")
    check = shop.find_faults()["index"]
    assert '"public"."parted" has 1 of its partitions without' in check.says
    shop.mend(check)
    assert shop.find_faults() == {}
    answers(open_app(shop.environment).test_client())


def test_indexes_of_the_partitions_are_as_good_as_one_of_the_whole(shop: Shop) -> None:
    shop.environment["DEFAULT_POSTGRES_TABLE"] = "parted"
    shop.execute(f'{PARTITIONED} GRANT SELECT ON parted TO "{APP}"')
    shop.execute("CREATE UNIQUE INDEX ON low (o_orderkey); CREATE UNIQUE INDEX ON middle (o_orderkey)")
    assert shop.find_faults() == {}
