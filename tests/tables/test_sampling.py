"""Samples of tables too large to look at every row, whose keys have no arithmetic."""

import pytest
from flask.testing import FlaskClient

from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.sql import sample
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.tables.conftest import TablesOpener, numbers

DECLARED = """
[things]
source = "public.{source}"
key = ["code"]
one = "thing"

[things.columns]
code = {{ type = "text" }}
colour = {{ type = "text", filter = "any" }}
"""
CREATE = f"""
CREATE TABLE large (code text PRIMARY KEY, colour text);
INSERT INTO large SELECT 'code ' || i, (ARRAY['red', 'blue'])[1 + i % 2] FROM generate_series(1, 20000) AS i;
CREATE VIEW seen AS SELECT * FROM large;
CREATE TABLE emptied (LIKE large INCLUDING INDEXES);
INSERT INTO emptied SELECT * FROM large;
ANALYZE large, emptied;
DELETE FROM emptied WHERE code NOT IN ('code 1', 'code 3');
GRANT SELECT ON large, seen, emptied TO {ROLE}
"""


@pytest.fixture(scope="module")
def large(server: EmbeddedPostgres) -> OrdersDatabase:
    database = clone_database(server, f"large_{next(numbers)}")
    database.execute(CREATE)
    return database


def draw(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"/things/sample{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    keys: list[str] = answer.json["sample_thing_keys"]
    assert len(set(keys)) == len(keys)
    return keys


@pytest.mark.parametrize("source", ["large", "seen"])
def test_keys_are_drawn_at_random_from_the_rows_that_are_asked_for(
    large: OrdersDatabase, open_tables: TablesOpener, source: str
) -> None:
    client = open_tables(large, DECLARED.format(source=source)).test_client()
    first, second = draw(client), draw(client, "?colour=blue")
    assert len(first) == len(second) == sample.SAMPLE_SIZE
    assert all(int(key.removeprefix("code ")) % 2 for key in second)
    assert any(draw(client) != first for _ in range(10))


def test_rows_are_found_also_where_there_are_far_fewer_than_the_statistics_say(
    large: OrdersDatabase, open_tables: TablesOpener
) -> None:
    client = open_tables(large, DECLARED.format(source="emptied")).test_client()
    assert set(draw(client)) == {"code 1", "code 3"}
