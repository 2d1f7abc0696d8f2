"""A few dozen orders with NULLs, ties, gaps between keys and changed statuses, and what is shown of them."""

from typing import Any
from urllib.parse import urlsplit

import psycopg
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.local import tpch
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, OrdersDatabase, make_app
from tests.orders.changing import read, set_status, withdraw

ORDERS = 60
GREATEST_KEY = 9_007_199_254_740_993  # no double has it
COLUMNS = (
    "o_orderkey",
    "o_custkey",
    "o_orderstatus",
    "o_totalprice",
    "o_orderdate",
    "o_orderpriority",
    "o_clerk",
    "o_shippriority",
    "o_comment",
)
INSERT = f"""
INSERT INTO orders_synced SELECT
    CASE n WHEN {ORDERS} THEN {GREATEST_KEY} ELSE 3 * n END,
    CASE WHEN n % 5 > 0 THEN n % 5 WHEN n % 2 = 0 THEN {GREATEST_KEY} END,
    (ARRAY['F', 'O', 'P', NULL])[1 + n % 4],
    CASE WHEN n % 7 > 0 THEN (n % 6) * 100.25 - 200 END,
    CASE WHEN n % 6 > 0 THEN date '1996-02-27' + n % 6 END,
    (ARRAY['1-URGENT', '2-HIGH', '5-LOW', NULL])[1 + n / 4 % 4],
    (ARRAY['Clerk#1', 'Clerk#2', 'é, "Ü" & 100%+', '', NULL])[1 + n / 3 % 5],
    CASE WHEN n % 8 > 0 THEN n % 3 - 1 END,
    (ARRAY['=1+1', 'a,b', E'two\\nlines', '', NULL, 'plain'])[1 + n % 6]
FROM generate_series(1, {ORDERS}) AS n
"""
# By key: 3 is open, 6 is in progress, 9 has no status, 12 is fulfilled in the table.
CHANGED = {3: "P", 6: "F", 9: "O", 12: "P", 36: "O", GREATEST_KEY: "P"}
WITHDRAWN = (15, 18)


def create_varied_orders(server: EmbeddedPostgres, name: str) -> OrdersDatabase:
    """A database of such orders, with a table ``shown`` that has the statuses as changed."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    database = OrdersDatabase(server, name)
    database.execute(f"{tpch.CREATE_TABLE}; {tpch.ADD_KEY}; {INSERT}")
    database.execute(f"GRANT SELECT ON orders_synced TO {ROLE}; GRANT CREATE ON DATABASE {name} TO {ROLE}")
    database.execute("CREATE TABLE shown AS SELECT * FROM orders_synced")
    app = make_app(database.environment)
    get_service(app).open()
    client = app.test_client()
    for key, status in CHANGED.items():
        assert set_status(client, key, status).status_code == 200
        database.execute(f"UPDATE shown SET o_orderstatus = '{status}' WHERE o_orderkey = {key}")
    for key in WITHDRAWN:
        assert set_status(client, key, "F").status_code == 200
        assert withdraw(client, key).status_code == 200
    get_service(app).close()
    return database


def find_keys(database: OrdersDatabase, rest: str = "", by: str = "o_orderkey") -> list[int]:
    """The keys of the orders as shown, by SQL."""
    rows = database.execute(f"SELECT o_orderkey FROM shown {rest} ORDER BY {by}")
    return [int(str(key)) for (key,) in rows]


def keys_of(body: Any) -> list[int]:
    """The keys of a page."""
    return [order["o_orderkey"] for order in body["orders"]]


def walk(client: FlaskClient, path: str, relation: str = "next") -> list[list[int]]:
    """The keys of the page of that path, and of those that its links of a kind lead to in turn."""
    pages: list[list[int]] = []
    following: str | None = path
    while following is not None:
        assert len(pages) <= ORDERS, "it goes round in circles"
        body = read(client, following)
        pages.append(keys_of(body))
        following = local(body["links"][relation])
    return pages


def local(url: str | None) -> str | None:
    """The path and query of a link, as the test's client asks for them."""
    return url and urlsplit(url)._replace(scheme="", netloc="").geturl()
