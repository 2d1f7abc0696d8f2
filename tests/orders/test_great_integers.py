"""Keys that JavaScript cannot hold: it reads every order all the same, and changes the right one."""

import json
import shutil
import subprocess
from collections.abc import Callable

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.local import tpch
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.orders.changing import read
from tests.orders.varied import keys_of, local
from tests.waiting import PATIENCE

EXACT = 2**53 - 1
KEYS = [1, EXACT - 1, EXACT, *range(EXACT + 1, EXACT + 9), 2**63 - 1]
TEXT = "great_integers=text"
SHOWN = [key if key <= EXACT else str(key) for key in KEYS]


@pytest.fixture(scope="module")
def great_database(server: EmbeddedPostgres) -> OrdersDatabase:
    """Orders whose keys and customers are on both sides of the greatest integer of JavaScript."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE orders_great")
    database = OrdersDatabase(server, "orders_great")
    database.execute(f"{tpch.CREATE_TABLE}; {tpch.ADD_KEY}")
    database.execute(
        f"GRANT SELECT ON orders_synced TO {ROLE}; GRANT CREATE ON DATABASE orders_great TO {ROLE}"
    )
    for key in KEYS:
        database.execute(
            f"INSERT INTO orders_synced (o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_comment)"
            f" VALUES ({key}, -{key}, 'O', {key % 100}.50, 'order {key}')"
        )
    return database


@pytest.fixture
def great(great_database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    return open_app(great_database.environment).test_client()


def test_cursors_are_texts_where_javascript_would_round_them(great: FlaskClient) -> None:
    cursor: int | str | None = 0
    found = []
    while cursor is not None:
        body = read(great, f"/orders/stream?page_size=1&cursor={cursor}")
        found += keys_of(body)
        cursor = body["pagination"]["next_cursor"]
        if cursor is not None:
            assert isinstance(cursor, int if found[-1] <= EXACT else str)
            assert int(cursor) == found[-1]
    assert found == KEYS
    back = read(great, f"/orders/stream?page_size=2&cursor={KEYS[-2]}")["pagination"]["previous_cursor"]
    assert keys_of(read(great, f"/orders/stream?page_size=2&cursor={back}")) == KEYS[-3:-1]


def test_keys_are_numbers_unless_texts_are_asked_for(great: FlaskClient) -> None:
    for path in ("/orders/stream?", "/orders/stream?great_integers=number&", "/orders/pages?"):
        assert keys_of(read(great, path)) == KEYS
        assert keys_of(read(great, f"{path.replace('great_integers=number&', '')}{TEXT}")) == SHOWN
    answer = great.get("/orders/stream?great_integers=float")
    assert answer.status_code == 422


def test_every_form_of_json_shows_great_integers_as_texts_if_asked(great: FlaskClient) -> None:
    orders = read(great, f"/orders/stream?{TEXT}")["orders"]
    assert [order["o_custkey"] for order in orders] == [
        int(k) * -1 if int(k) <= EXACT else f"-{k}" for k in SHOWN
    ]
    assert [read(great, f"/orders/{key}?{TEXT}") for key in KEYS] == orders
    lines = great.get(f"/orders/stream?{TEXT}", headers={"Accept": "application/x-ndjson"}).data.splitlines()
    assert [json.loads(line) for line in lines] == orders
    with great.get(f"/orders/export?format=ndjson&trailer=false&{TEXT}") as answer:
        assert [json.loads(line) for line in answer.data.splitlines()] == orders
    some = read(great, f"/orders?keys={KEYS[-1]},{KEYS[-1] - 1},7&fields=o_orderkey&{TEXT}")
    assert some["orders"] == [{"o_orderkey": str(KEYS[-1])}]
    assert some["missing"] == [str(KEYS[-1] - 1), 7]
    assert set(read(great, f"/orders/sample?{TEXT}")["sample_order_keys"]) <= set(SHOWN)


def test_a_link_goes_on_asking_for_texts(great: FlaskClient) -> None:
    body = read(great, f"/orders/stream?page_size=6&{TEXT}")
    following = local(body["links"]["next"])
    assert following
    assert keys_of(read(great, following)) == SHOWN[6:]


def test_a_batch_takes_texts_of_keys_that_are_so_great(great: FlaskClient) -> None:
    items = [{"o_orderkey": str(KEYS[-1]), "o_orderstatus": "F"}, {"o_orderkey": 1, "o_orderstatus": "F"}]
    answer = great.post("/orders/status", json=items)
    assert answer.status_code == 200
    assert read(great, f"/orders/{KEYS[-1]}")["o_orderstatus"] == "F"
    for wrong in ("1", str(2**63), "9007199254740993.0", "x"):
        item = {"o_orderkey": wrong, "o_orderstatus": "F"}
        assert great.post("/orders/status", json=[item]).status_code == 422


SCRIPT = """
const base = process.argv[2], text = 'great_integers=text'
const get = async (path) => {
  const answer = await fetch(base + path)
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer.json()
}
const send = async (path, body) => {
  const headers = { 'Content-Type': 'application/json' }
  const answer = await fetch(base + path, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
}
const byCursor = [], byLink = [], single = []
for (let cursor = 0; cursor !== null && byCursor.length < 50; ) {
  const page = await get(`/orders/stream?page_size=1&cursor=${cursor}`)
  byCursor.push(...page.orders.map((order) => order.o_comment))
  cursor = page.pagination.next_cursor
}
for (let link = `${base}/orders/stream?page_size=5&${text}`; link !== null; ) {
  const page = await (await fetch(link)).json()
  byLink.push(...page.orders)
  link = page.links.next
}
for (const order of byLink) single.push((await get(`/orders/${order.o_orderkey}?${text}`)).o_comment)
await send(`/orders/${byLink[4].o_orderkey}/status`, { o_orderstatus: 'F' })
await send('/orders/status', [{ o_orderkey: byLink[6].o_orderkey, o_orderstatus: 'P' }])
console.log(JSON.stringify([byCursor, byLink.map((order) => order.o_comment), single]))
"""


def test_node_reads_every_order_once_and_changes_the_right_one(
    great_database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: a real JavaScript client was not tried")
    environment = {**great_database.environment, "STATUS_SCHEMA": "of_node"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    ended = subprocess.run(
        [node, "--input-type=module", "-", gunicorn.url],
        input=SCRIPT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    expected = [f"order {key}" for key in KEYS]
    assert json.loads(ended.stdout) == [expected] * 3
    changed = great_database.execute(
        "SELECT o_orderkey, _new ->> 'o_orderstatus' FROM of_node.orders_history ORDER BY 1"
    )
    assert changed == [(KEYS[4], "F"), (KEYS[6], "P")]
