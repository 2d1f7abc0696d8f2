"""Values that PostgreSQL has and Python or JSON has not: valid, and of one meaning in every form."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, OrdersDatabase, make_app
from tests.orders.varied import COLUMNS, keys_of, walk

CREATE = """
CREATE TABLE orders_synced (
    o_orderkey {key} PRIMARY KEY, o_custkey numeric, o_orderstatus char(1), o_totalprice {price},
    o_orderdate date, o_orderpriority varchar(15), o_clerk char(15), o_shippriority smallint, o_comment text
);
INSERT INTO orders_synced VALUES
    (1, 1, 'F', 1.5, '1996-01-02', '5-LOW', 'Clerk#1', 0, 'NaN'),
    (2, 'NaN', 'O', 'NaN', 'infinity', '5-LOW', 'Clerk#2', -32768, 'Infinity'),
    (3, 'Infinity', 'O', 'Infinity', '-infinity', '-infinity', '-Infinity', 32767, E'\\x01\\t\\r\\n"\\\\'),
    (4, '-Infinity', 'P', '-Infinity', '0044-03-15 BC', '', '', 0, ''),
    (5, 12345678901234567890123456789012345678901234567890, 'F', 0, '10000-01-01', NULL, NULL, NULL, '=1+1'),
    (6, -0.0000001, 'F', -0.25, '5874897-12-31', '5-LOW', 'Łódź – 5 €', 1, E'\\u2028\\u2029'),
    (7, 1.50, NULL, 123456.75, '4714-11-24 BC', '5-LOW', '=1', 1, ' '),
    (8, NULL, 'F', NULL, NULL, NULL, NULL, NULL, NULL),
    (9, 7, 'P', 'NaN', 'infinity', '😀', 'Clerk#2', 1, 'NaN');
"""
KEYS = list(range(1, 10))
# The types that doctor takes, of which each holds something that others do not.
TYPES = [("bigint", "numeric"), ("smallint", "double precision"), ("integer", "real")]
numbers = itertools.count(1)


@pytest.fixture(scope="module", params=TYPES, ids="-".join)
def odd_database(request: pytest.FixtureRequest, server: EmbeddedPostgres) -> OrdersDatabase:
    """Nine orders with such values."""
    key, price = request.param
    name = f"orders_odd_{next(numbers)}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    database = OrdersDatabase(server, name)
    database.execute(CREATE.format(key=key, price=price))
    database.execute(f"GRANT SELECT ON orders_synced TO {ROLE}; GRANT CREATE ON DATABASE {name} TO {ROLE}")
    return database


@pytest.fixture(scope="module")
def odd(odd_database: OrdersDatabase) -> Iterator[FlaskClient]:
    app = make_app(odd_database.environment)
    get_service(app).open()
    yield app.test_client()
    get_service(app).close()


@pytest.fixture(scope="module")
def expected(odd_database: OrdersDatabase) -> list[dict[str, Any]]:
    """The orders in JSON as PostgreSQL has it."""
    query = "SELECT row_to_json(o)::text FROM orders_synced AS o ORDER BY o_orderkey"
    return [parse(str(text)) for (text,) in odd_database.execute(query)]


def parse(text: str) -> Any:
    """The value of strict JSON."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"JSON has no {constant}")

    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)


def read_text(client: FlaskClient, path: str, accept: str = "application/json") -> str:
    answer = client.get(path, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_every_form_of_json_is_valid_and_says_the_same(
    odd: FlaskClient, expected: list[dict[str, Any]]
) -> None:
    assert [parse(read_text(odd, f"/orders/{key}")) for key in KEYS] == expected
    for path in ("/orders/stream?", "/orders/pages?", "/orders?keys=1,2,3,4,5,6,7,8,9&"):
        assert parse(read_text(odd, path))["orders"] == expected
        lines = read_text(odd, path, "application/x-ndjson").split("\n")
        assert [parse(line) for line in lines if line] == expected
    *lines, _, _ = read_text(odd, "/orders/export?format=ndjson").split("\n")
    assert [parse(line) for line in lines] == expected


def test_a_part_of_the_fields_is_valid_too(odd: FlaskClient, expected: list[dict[str, Any]]) -> None:
    fields = ("o_totalprice", "o_custkey", "o_orderdate")
    part = [{name: order[name] for name in fields} for order in expected]
    query = f"fields={','.join(fields)}"
    assert parse(read_text(odd, f"/orders/stream?{query}"))["orders"] == part
    assert [parse(read_text(odd, f"/orders/{key}?{query}")) for key in KEYS] == part


@pytest.mark.parametrize("rest", ["", "&quote_formulas=true"])
def test_every_csv_says_the_same(odd: FlaskClient, rest: str) -> None:
    lists = [read_text(odd, f"/orders/{path}?{rest}", "text/csv") for path in ("stream", "pages")]
    export = read_text(odd, f"/orders/export?format=csv{rest}")
    assert lists == [export, export]
    [_, _, nan, *_] = csv.reader(io.StringIO(export, newline=""))
    assert (nan[1], nan[3], nan[4]) == ("NaN", "NaN", "infinity")
    assert "\r" in export


@pytest.mark.parametrize("descending", ["", "-"])
@pytest.mark.parametrize("column", COLUMNS[1:])
def test_a_list_sorted_by_such_values_is_walked_whole_both_ways(
    odd: FlaskClient, odd_database: OrdersDatabase, column: str, descending: str
) -> None:
    direction = "DESC" if descending else ""
    order = f"{column} {direction}, o_orderkey {direction}"
    rows = odd_database.execute(f"SELECT o_orderkey::int FROM orders_synced ORDER BY {order}")
    path = f"/orders/stream?sort={descending}{column}&page_size=2"
    pages = walk(odd, path)
    assert [key for page in pages for key in page] == [key for (key,) in rows]
    last = parse(read_text(odd, path))["pagination"]["next_cursor"]
    back = parse(read_text(odd, f"{path}&cursor={last}"))["pagination"]["previous_cursor"]
    assert keys_of(parse(read_text(odd, f"{path}&cursor={back}"))) == pages[0]


def test_what_was_not_changed_is_known_again_and_can_be_changed(odd: FlaskClient) -> None:
    for key in KEYS:
        etag = odd.get(f"/orders/{key}").headers["ETag"]
        assert odd.get(f"/orders/{key}", headers={"If-None-Match": etag}).status_code == 304
        change = {"json": {"o_orderstatus": "P"}, "headers": {"If-Match": etag}}
        assert odd.post(f"/orders/{key}/status", **change).status_code == 200
        assert odd.delete(f"/orders/{key}/status").status_code == 200
