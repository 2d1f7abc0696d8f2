"""Keys of 0 and below are keys like any other, and no operation leaves one out."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import OrdersDatabase, clone_database, make_app
from tests.orders.changing import assert_problem, changes_of, read, set_status, set_statuses, status_of
from tests.orders.varied import keys_of, walk

LEAST, GREATEST = -(2**63), 2**63 - 1
KEYS = [LEAST, LEAST + 1, -5, -1, 0, 1, 7, GREATEST - 1, GREATEST]


@pytest.fixture(scope="module")
def database(server: EmbeddedPostgres) -> OrdersDatabase:
    database = clone_database(server, "orders_with_low_keys")
    database.execute(
        "TRUNCATE orders_synced; INSERT INTO orders_synced (o_orderkey, o_custkey, o_orderstatus)"
        f" SELECT key, abs(key % 3), 'O' FROM unnest('{{{','.join(map(str, KEYS))}}}'::bigint[]) AS key"
    )
    return database


@pytest.fixture(scope="module")
def client(database: OrdersDatabase) -> Iterator[FlaskClient]:
    app = make_app(database.environment)
    get_service(app).open()
    yield app.test_client()
    get_service(app).close()


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize("path", ["stream?", "pages?", "stream?sort=o_custkey&", "stream?o_orderstatus=O&"])
def test_every_order_comes_once_forward_and_back(client: FlaskClient, path: str, page_size: int) -> None:
    first = f"/orders/{path}page_size={page_size}"
    pages = walk(client, first)
    assert sorted(key for page in pages for key in page) == KEYS
    last, body = first, read(client, first)
    while body["links"]["next"]:
        last = body["links"]["next"].removeprefix("http://localhost")
        body = read(client, last)
    assert walk(client, last, "prev") == pages[::-1]


@pytest.mark.parametrize("cursor", [LEAST, -6, -5, -1, 0, 7, GREATEST])
def test_a_cursor_is_the_key_to_start_after_whatever_it_is(client: FlaskClient, cursor: int) -> None:
    after = [key for key in KEYS if key > cursor]
    assert keys_of(read(client, f"/orders/stream?cursor={cursor}")) == after
    exported = client.get(f"/orders/export?format=csv&fields=o_orderkey&cursor={cursor}").text
    assert [int(key) for key in exported.split()] == after


def test_each_is_found_counted_sampled_and_exported(client: FlaskClient) -> None:
    assert read(client, "/orders/count?accuracy=exact")["total_orders"] == len(KEYS)
    assert keys_of(read(client, f"/orders?keys={','.join(map(str, KEYS))}")) == KEYS
    assert [read(client, f"/orders/{key}")["o_orderkey"] for key in KEYS] == KEYS
    sampled = [read(client, "/orders/sample")["sample_order_keys"] for _ in range(20)]
    assert all(len(set(keys)) == 5 for keys in sampled)
    assert {key for keys in sampled for key in keys} <= set(KEYS)
    header, *exported = client.get("/orders/export?format=csv&fields=o_orderkey").text.split()
    assert header == "o_orderkey"
    assert [int(key) for key in exported] == KEYS


@pytest.mark.parametrize("key", [-5, 0])
def test_the_status_of_one_is_changed_one_by_one_and_with_others(client: FlaskClient, key: int) -> None:
    before = status_of(client, key)
    assert set_status(client, key, "F").status_code == 200
    assert set_statuses(client, [{"o_orderkey": key, "o_orderstatus": "P"}]).status_code == 200
    assert changes_of(client, key) == [(2, "F", "P"), (1, before, "F")]


@pytest.mark.parametrize("key", [-4, -(2**62)])
def test_one_that_is_not_there_is_not_found(client: FlaskClient, key: int) -> None:
    for path in (f"/orders/{key}", f"/orders/{key}/history"):
        assert_problem(client.get(path), 404, "order-not-found")
    assert_problem(set_status(client, key, "F"), 404, "order-not-found")
    assert read(client, f"/orders?keys={key}")["missing"] == [key]
