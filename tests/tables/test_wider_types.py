"""Columns declared as a type that has values which their own has not: no value asks for a fault."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.tables.conftest import TablesOpener, numbers

BEYOND = 2**40
DECLARED = """
[wides]
source = "public.wides"
key = ["id"]
one = "wide"
writes = "{writes}"

[wides.columns]
id = {{ type = "bigint" }}
small = {{ type = "bigint", filter = ["any", "range"], change = {{ path = "small" }} }}
part = {{ type = "numeric", filter = ["any", "range"], change = {{ path = "part" }} }}
ratio = {{ type = "double precision", filter = "range", change = {{ path = "ratio" }} }}
short = {{ type = "text", filter = ["any", "prefix"], change = {{ path = "short" }} }}
counts = {{ type = "bigint[]", filter = "contains" }}
amounts = {{ type = "numeric[]", filter = "contains" }}
words = {{ type = "text[]", filter = "contains" }}
"""
CREATE = f"""
CREATE TABLE wides (
    id integer PRIMARY KEY, small smallint, part integer, ratio real, short varchar(3),
    counts integer[], amounts smallint[], words varchar(3)[]
);
INSERT INTO wides VALUES (1, 2, 3, 0.5, 'abc', '{{1,2}}', '{{3,4}}', '{{abc,x}}');
GRANT SELECT, UPDATE ON wides TO {ROLE}
"""
FOUND = [
    "small=2",
    "small_max=1099511627776",
    "part_max=3.5",
    "ratio_min=0.5",
    "short_prefix=ab",
    "counts_contains=2",
    "amounts_contains=3",
    "words_contains=abc",
]
NOT_FOUND = [
    f"small={BEYOND}",
    f"small={BEYOND}&small=7",
    f"small_min={BEYOND}",
    "part=1.5",
    "part_min=9999999999999999",
    "ratio_min=1e300",
    "short=abcdef",
    "short_prefix=abcdef",
    f"counts_contains={BEYOND}",
    "amounts_contains=1.5",
    "words_contains=abcdef",
]


@pytest.fixture(scope="module")
def wides(server: EmbeddedPostgres) -> OrdersDatabase:
    database = clone_database(server, f"wides_{next(numbers)}")
    database.execute(CREATE)
    return database


@pytest.fixture(scope="module")
def client(wides: OrdersDatabase, open_shared_tables: TablesOpener) -> FlaskClient:
    return open_shared_tables(wides, DECLARED.format(writes="direct")).test_client()


def ask(client: FlaskClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json


@pytest.mark.parametrize("query", FOUND)
def test_a_value_that_both_have_is_found(client: FlaskClient, query: str) -> None:
    for path in ("pages", "stream"):
        assert [row["id"] for row in ask(client, f"/wides/{path}?{query}")["wides"]] == [1]
    assert ask(client, f"/wides/count?{query}")["total_wides"] == 1
    with client.get(f"/wides/export?format=csv&header=false&fields=id&{query}") as answer:
        assert (answer.status_code, answer.data) == (200, b"1\n")


@pytest.mark.parametrize("query", NOT_FOUND)
def test_a_value_that_the_column_cannot_have_is_not_found_or_refused(client: FlaskClient, query: str) -> None:
    for path in ("pages", "stream", "pages?sort=-small", "count", "sample", "export?format=ndjson"):
        separator = "&" if "?" in path else "?"
        with client.get(f"/wides/{path}{separator}{query}") as answer:
            assert answer.status_code in (200, 422), answer.data


def test_a_key_that_the_column_cannot_have_is_not_found(client: FlaskClient) -> None:
    assert client.get(f"/wides/{BEYOND}").status_code == 404
    assert client.get(f"/wides/{BEYOND}/history").status_code == 404
    assert client.post(f"/wides/{BEYOND}/small", json={"small": 1}).status_code == 404
    assert [row["id"] for row in ask(client, f"/wides?keys={BEYOND},1")["wides"]] == [1]


@pytest.mark.parametrize(
    ("path", "value"), [("small", BEYOND), ("part", BEYOND), ("ratio", 10**300), ("short", "abcdef")]
)
def test_a_new_value_that_the_column_cannot_have_is_refused(
    client: FlaskClient, path: str, value: object
) -> None:
    assert client.post(f"/wides/1/{path}", json={path: value}).status_code == 422
