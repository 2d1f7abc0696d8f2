"""A table that is as declared is served; another is refused by every operation until it is mended."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from lakebase_api.__main__ import main
from lakebase_api.sql import key_ranges
from lakebase_api.sql.export_chunks import Size
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem, read, set_status

ONE_CONNECTION = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "COUNT_TTL": "0"}
READS = (
    "/orders/1",
    "/orders?keys=1,2&fields=o_orderkey",
    "/orders/stream?fields=o_orderkey",
    "/orders/stream?cursor=3",
    "/orders/pages?page=2&page_size=2",
    "/orders/pages?sort=-o_custkey",
    "/orders/count?accuracy=exact",
    "/orders/count?accuracy=estimated",
    "/orders/sample",
    "/orders/1/history",
    "/orders/export?format=csv&fields=o_orderkey",
    "/orders/export?format=ndjson",
)
ALTER = "ALTER TABLE orders_synced ALTER"
UNIQUE = "ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey CASCADE;"
ENUM = f"CREATE TYPE kind AS ENUM ('F', 'O', 'P'); {ALTER} o_orderstatus TYPE kind USING o_orderstatus::kind"
OTHER_TYPES = {
    "o_orderkey is text, not bigint": f"{ALTER} o_orderkey TYPE text",
    "o_orderkey is numeric, not bigint": f"{ALTER} o_orderkey TYPE numeric(38, 0)",
    "o_custkey is uuid, not bigint": f"{ALTER} o_custkey TYPE uuid USING gen_random_uuid()",
    "o_orderstatus is kind, not text": ENUM,
    "o_totalprice is money, not numeric": f"{ALTER} o_totalprice TYPE money",
    "o_shippriority is double precision, not integer": f"{ALTER} o_shippriority TYPE double precision",
    "o_orderdate is timestamp with time zone, not date": f"{ALTER} o_orderdate TYPE timestamptz",
    "o_comment is jsonb, not text": f"{ALTER} o_comment TYPE jsonb USING to_jsonb(o_comment)",
    "has no column o_clerk": "ALTER TABLE orders_synced DROP o_clerk",
}
OTHER_KEYS = {
    "o_orderkey may be NULL": f"{UNIQUE} {ALTER} o_orderkey DROP NOT NULL;"
    " CREATE UNIQUE INDEX ON orders_synced (o_orderkey)",
    "no unique index on o_orderkey alone": f"{UNIQUE} CREATE INDEX ON orders_synced (o_orderkey)",
}


def ask_all(client: FlaskClient) -> Iterator[tuple[str, int]]:
    """Each operation on the table, and what it answered."""
    for path in READS:
        with client.get(path) as answer:
            answer.get_data()
            yield path, answer.status_code
    yield "change", set_status(client, 1, "F").status_code


def tell(client: FlaskClient) -> str:
    return str(read(client, "/readyz?verbose")["parts"]["table"])


def run_doctor(
    database: OrdersDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "statement"), [*OTHER_TYPES.items(), *OTHER_KEYS.items()], ids=[*OTHER_TYPES, *OTHER_KEYS]
)
def test_a_table_that_is_not_as_declared_is_refused_by_all_with_the_line_of_doctor_until_it_is_mended(
    database: OrdersDatabase,
    open_app: AppOpener,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    statement: str,
) -> None:
    database.execute("CREATE TABLE usual AS TABLE orders_synced WITH NO DATA")
    database.execute(statement)
    client = open_app({**database.environment, **ONE_CONNECTION}).test_client()
    assert {status for _, status in ask_all(client)} == {503}
    body = assert_problem(client.get("/orders/1"), 503, "database-not-set-up")
    assert "o_" not in body["detail"]
    assert tell(client) != "ok"
    told = {record.getMessage() for record in caplog.records if "Not set up" in record.msg}
    [said] = {text.removeprefix("Not set up: ") for text in told}
    assert line in said
    assert said in run_doctor(database, monkeypatch, capsys)
    database.execute(
        "DROP TABLE orders_synced; ALTER TABLE usual RENAME TO orders_synced;"
        " INSERT INTO orders_synced (o_orderkey) VALUES (1), (2), (4), (5);"
        f" ALTER TABLE orders_synced ADD PRIMARY KEY (o_orderkey); GRANT SELECT ON orders_synced TO {ROLE}"
    )
    assert {each for each in ask_all(client) if each[1] != 200} == set()
    assert tell(client) == "ok"


# More than psycopg runs of a statement before it prepares it, for some.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "times"),
    [(statement, 7 * (n % 3 == 0)) for n, statement in enumerate(OTHER_TYPES.values())],
    ids=OTHER_TYPES,
)
def test_a_table_that_changes_while_it_is_served_is_refused_at_once(
    database: OrdersDatabase, open_app: AppOpener, statement: str, times: int
) -> None:
    client = open_app({**database.environment, **ONE_CONNECTION}).test_client()
    read(client, "/orders/1")
    for _ in range(times):
        assert {status for _, status in ask_all(client)} == {200}
    database.execute(statement)
    statuses = [client.get("/orders/count?accuracy=exact").status_code]
    statuses += [status for _, status in ask_all(client)]
    assert set(statuses) == {503}


@pytest.mark.parametrize(
    "types",
    [
        "o_orderkey TYPE integer, ALTER o_custkey TYPE integer, ALTER o_shippriority TYPE smallint",
        "o_orderstatus TYPE text, ALTER o_orderpriority TYPE varchar(99), ALTER o_clerk TYPE char(15)",
        "o_totalprice TYPE numeric, ALTER o_shippriority TYPE bigint, ALTER o_comment TYPE text",
        "o_totalprice TYPE numeric(38, 6), ALTER o_custkey TYPE numeric(38, 0)",
        "o_totalprice TYPE double precision",
    ],
)
def test_what_is_of_the_family_is_served_at_start_and_at_once_after_a_change(
    database: OrdersDatabase, open_app: AppOpener, types: str
) -> None:
    running = open_app({**database.environment, **ONE_CONNECTION}).test_client()
    assert {status for _, status in ask_all(running)} == {200}
    database.execute(f"{ALTER} {types}")
    for client in (running, open_app({**database.environment, **ONE_CONNECTION}).test_client()):
        assert {each for each in ask_all(client) if each[1] != 200} == set()
        assert tell(client) == "ok"


@pytest.mark.parametrize("twice", ["o_orderkey % 7", "nullif(o_orderkey, 1)"])
def test_a_view_whose_keys_are_none_is_seen_and_refused(
    database: OrdersDatabase,
    open_app: AppOpener,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    twice: str,
) -> None:
    database.execute(
        f"CREATE VIEW seen AS SELECT {twice} AS o_orderkey, o_custkey, o_orderstatus, o_totalprice,"
        " o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment FROM orders_synced;"
        f" GRANT SELECT ON seen TO {ROLE}"
    )
    environment = {**database.environment, **ONE_CONNECTION, "DEFAULT_POSTGRES_TABLE": "seen"}
    client = open_app(environment).test_client()
    assert {status for _, status in ask_all(client)} == {503}
    assert tell(client) == "the key is not unique"
    monkeypatch.setenv("DEFAULT_POSTGRES_TABLE", "seen")
    assert "of all 15,000 rows looked at in view" in run_doctor(database, monkeypatch, capsys)


def test_a_materialized_view_with_a_unique_index_is_served(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    database.execute(
        "CREATE MATERIALIZED VIEW kept AS TABLE orders_synced; CREATE UNIQUE INDEX ON kept (o_orderkey);"
        f" GRANT SELECT ON kept TO {ROLE}"
    )
    client = open_app({**database.environment, "DEFAULT_POSTGRES_TABLE": "kept"}).test_client()
    assert {each for each in ask_all(client) if each[1] != 200} == set()


def test_a_key_that_comes_to_be_in_two_rows_of_a_view_is_not_passed_over(
    database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(8000, 2))
    database.execute(
        "CREATE TABLE more (LIKE orders_synced);"
        " CREATE VIEW seen AS TABLE orders_synced UNION ALL TABLE more;"
        f" GRANT SELECT ON seen TO {ROLE}"
    )
    environment = {**database.environment, **ONE_CONNECTION, "DEFAULT_POSTGRES_TABLE": "seen"}
    paths = (
        "/orders/2",
        "/orders?keys=1,2,3",
        "/orders/stream?page_size=2",
        "/orders/pages?page_size=2",
        "/orders/stream?sort=o_orderkey,o_clerk&page_size=2",
        "/orders/export?format=csv",
    )
    clients = [open_app(environment).test_client() for _ in paths]
    for client in clients:
        read(client, "/orders/2")
    database.execute("INSERT INTO more SELECT * FROM orders_synced WHERE o_orderkey = 2")
    for client, path in zip(clients, paths, strict=True):
        assert_problem(client.get(path), 503, "database-not-set-up")
        assert tell(client) == "the key is not unique"
