"""What is done to the orders table while it is served: no read fails, whatever a connection has prepared."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask.testing import FlaskClient

from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import read, set_status
from tests.waiting import wait_until

# More than psycopg runs of a statement before it prepares it.
TIMES = 7
READERS = 3
# Rounds that the readers make between two changes of the table.
ROUNDS = 1

ALTERATIONS = {
    "wider types": "ALTER TABLE orders_synced ALTER o_totalprice TYPE numeric(20, 4),"
    " ALTER o_clerk TYPE text, ALTER o_orderstatus TYPE text, ALTER o_shippriority TYPE bigint",
    "narrower types": "ALTER TABLE orders_synced ALTER o_orderkey TYPE integer,"
    " ALTER o_custkey TYPE integer, ALTER o_shippriority TYPE smallint,"
    " ALTER o_totalprice TYPE numeric(12, 2)",
    "other kinds of text": "ALTER TABLE orders_synced ALTER o_orderstatus TYPE char(1),"
    " ALTER o_orderpriority TYPE char(15), ALTER o_clerk TYPE varchar(40)",
    "dropped and made anew": "CREATE TABLE anew AS SELECT o_comment::text, o_clerk::varchar(15),"
    " o_orderpriority::text, o_shippriority::integer, o_orderdate, o_totalprice::numeric(18, 2),"
    " o_orderstatus::varchar(1), o_custkey::bigint, o_orderkey::bigint FROM orders_synced;"
    " DROP TABLE orders_synced; ALTER TABLE anew RENAME TO orders_synced;"
    f" ALTER TABLE orders_synced ADD PRIMARY KEY (o_orderkey); GRANT SELECT ON orders_synced TO {ROLE}",
    "swapped": "CREATE TABLE other (LIKE orders_synced INCLUDING ALL); INSERT INTO other TABLE orders_synced;"
    f" ALTER TABLE other ALTER o_clerk TYPE varchar(99); GRANT SELECT ON other TO {ROLE};"
    " ALTER TABLE orders_synced RENAME TO aside; ALTER TABLE other RENAME TO orders_synced; DROP TABLE aside",
    "a view in its place": "ALTER TABLE orders_synced RENAME TO behind; CREATE VIEW orders_synced AS SELECT"
    " o_orderkey, o_custkey::integer, o_orderstatus::text, o_totalprice, o_orderdate, o_orderpriority,"
    f" o_clerk, o_shippriority, o_comment FROM behind; GRANT SELECT ON orders_synced TO {ROLE}",
    "the table in its place": "DROP VIEW orders_synced; ALTER TABLE behind RENAME TO orders_synced",
    "schema swapped": "CREATE SCHEMA other;"
    " CREATE TABLE other.orders_synced (LIKE orders_synced INCLUDING ALL);"
    " INSERT INTO other.orders_synced TABLE orders_synced;"
    " ALTER TABLE other.orders_synced ALTER o_totalprice TYPE numeric;"
    f" GRANT SELECT ON other.orders_synced TO {ROLE}; GRANT USAGE ON SCHEMA other TO {ROLE};"
    " ALTER SCHEMA public RENAME TO gone; ALTER SCHEMA other RENAME TO public; DROP SCHEMA gone CASCADE",
    "another owner of the schema": f"ALTER SCHEMA public OWNER TO {ROLE}",
    "another search path": f"ALTER ROLE {ROLE} SET search_path = public",
    "another index": "ALTER TABLE orders_synced DROP CONSTRAINT orders_synced_pkey CASCADE;"
    " CREATE UNIQUE INDEX ON orders_synced (o_orderkey) INCLUDE (o_custkey)",
    "another column and its end": "ALTER TABLE orders_synced ADD more text DEFAULT 'x'",
    "statistics": "ANALYZE orders_synced",
}


def alter(database: OrdersDatabase, statements: str) -> None:
    """Run them in one transaction."""
    with psycopg.connect(database.server.conninfo(database.name)) as connection:
        connection.execute(statements.encode())


def ask_everything(client: FlaskClient, number: int) -> Iterator[tuple[str, int]]:
    """Each operation that reads, and what it answered."""
    key = 1 + number % 7
    first = read(client, "/orders/stream?sort=o_custkey,-o_totalprice&page_size=3")
    cursor = first["pagination"]["next_cursor"]
    for path in (
        f"/orders/{key}",
        "/orders?keys=1,2,3",
        f"/orders?keys={key}&fields=o_clerk",
        f"/orders/pages?page={key}&page_size=5",
        f"/orders/stream?cursor={key}&page_size=10",
        "/orders/stream?o_clerk=Clerk%23000000951&o_totalprice_min=5&page_size=10",
        "/orders/pages?sort=-o_orderstatus,o_clerk&page_size=10",
        f"/orders/stream?sort=o_custkey,-o_totalprice&page_size=3&cursor={cursor}",
        f"/orders/count?accuracy=exact&o_custkey={number}",
        "/orders/count?accuracy=estimated&o_orderstatus=F",
        "/orders/sample",
        "/orders/sample?o_orderpriority=5-LOW",
        f"/orders/{key}/history",
        f"/orders/export?format=csv&o_custkey=370&cursor={key}",
        f"/orders/export?format=ndjson&o_orderstatus=F&cursor={3000 + key}",
    ):
        with client.get(path) as answer:
            answer.get_data()
            yield path, answer.status_code


@pytest.mark.slow
@pytest.mark.parametrize("has_changes", [False, True], ids=["without changes", "with changes"])
def test_no_read_fails_while_the_table_is_altered_swapped_and_made_anew(
    database: OrdersDatabase, open_app: AppOpener, has_changes: bool
) -> None:
    app = open_app({**database.environment, "DB_POOL_SIZE": "4", "EXPORT_CONCURRENCY": "4"})
    database.execute("DELETE FROM orders_synced WHERE o_orderkey > 4000")
    if has_changes:
        assert set_status(app.test_client(), 1, "P").status_code == 200
    numbers, rounds, is_over = itertools.count(1), itertools.count(1), threading.Event()
    failed: list[tuple[str, int]] = []
    made = 0

    def keep_reading(_: int) -> None:
        nonlocal made
        client = app.test_client()
        while not is_over.is_set():
            failed.extend(each for each in ask_everything(client, next(numbers)) if each[1] != 200)
            made = next(rounds)

    with ThreadPoolExecutor(READERS) as threads:
        readers = threads.map(keep_reading, range(READERS))
        try:
            wait_until(lambda: made > TIMES * READERS)
            for statements in ALTERATIONS.values():
                before = made
                alter(database, statements)
                wait_until(lambda before=before: made > before + ROUNDS * READERS)  # type: ignore[misc]
        finally:
            is_over.set()
        list(readers)
    assert Counter(failed) == {}
