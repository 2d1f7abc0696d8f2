"""Whatever happens to a table, answers from memory are those of the database, and to whom it gives them."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.access.callers import RIGHTS
from tests.conftest import ROLE, AppOpener, OrdersDatabase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Few, so that they meet each other in memory.
PATHS = [
    "/orders/stream?page_size=20",
    "/orders/stream?page_size=20&sort=-o_totalprice",
    "/orders/stream?page_size=20&o_orderstatus=F",
    "/orders/pages?page_size=7&page=2",
    "/orders/pages?page_size=7&include_count=false&sort=o_clerk",
    "/orders?keys=1,2,3,4,5,6,7,32",
    "/orders/1",
]
FORMS = ["application/json", "text/csv"]
HEADERS = ["Content-Type", "Link", "Vary", "Cache-Control"]
CALLERS = ["ann", "bob", "cid"]
SEEDS = range(6)
STEPS = 200
# Readers of each host, and versions that a writer makes while they read.
READERS = 4
VERSIONS = 150

RELOAD = """
BEGIN;
CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE orders_synced;
TRUNCATE orders_synced;
INSERT INTO orders_synced SELECT o_orderkey, o_custkey, {status}, o_totalprice + 1, o_orderdate,
    o_orderpriority, o_clerk, o_shippriority, o_comment FROM kept;
COMMIT
"""
SWAP = f"""
BEGIN;
CREATE TABLE swapped (LIKE orders_synced INCLUDING ALL);
INSERT INTO swapped SELECT o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_orderdate,
    o_orderpriority, 'Clerk ' || o_orderkey % 7, o_shippriority, o_comment FROM orders_synced;
DROP TABLE orders_synced;
ALTER TABLE swapped RENAME TO orders_synced;
GRANT SELECT ON orders_synced TO {ROLE};
COMMIT
"""


class Hosts(NamedTuple):
    """Clients of two hosts that keep answers, and of one that does not, on one database."""

    keeping: list[FlaskClient]
    reading: FlaskClient


@pytest.fixture
def hosts(database: OrdersDatabase, open_app: AppOpener, tmp_path: Path) -> Hosts:
    """With rights for each caller, on few orders."""
    database.execute("DELETE FROM orders_synced WHERE o_orderkey > 200")
    rights = tmp_path / "rights.toml"
    rights.write_text(RIGHTS)
    environment = {
        **database.environment,
        "RIGHTS_FILE": str(rights),
        "TRUST_FORWARDED_IDENTITY": "true",
        "CURSOR_SECRET": "the same on every host",
        "COUNT_TTL": "0",
    }
    keeping = [open_app(environment).test_client() for _ in range(2)]
    return Hosts(keeping, open_app({**environment, "RESULT_CACHE_SIZE": "0"}).test_client())


def ask(client: FlaskClient, caller: str, path: str, form: str = FORMS[0], **more: str) -> TestResponse:
    """Ask as the caller."""
    return client.get(path, headers={"X-Forwarded-User": caller, "Accept": form, **more})


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_are_those_of_the_database(hosts: Hosts, database: OrdersDatabase, seed: int) -> None:
    choose = random.Random(seed)
    from_memory = 0
    for _ in range(STEPS):
        if choose.random() < 0.06:
            disturb(hosts, database, choose)
        caller, path, form = choose.choice(CALLERS), choose.choice(PATHS), choose.choice(FORMS)
        found = ask(choose.choice(hosts.keeping), caller, path, form)
        expected = ask(hosts.reading, caller, path, form)
        assert found.status_code == expected.status_code, (caller, path)
        if found.status_code == 200:
            assert found.data == expected.data, (caller, path)
            for name in HEADERS:
                assert found.headers.getlist(name) == expected.headers.getlist(name), (path, name)
            from_memory += found.headers.get("Cache-Status", "").endswith("fwd-status=304")
    assert from_memory > 10


def disturb(hosts: Hosts, database: OrdersDatabase, choose: random.Random) -> None:
    """Change an order over HTTP or in the table, or sync in one of the ways that there are."""
    key = choose.randint(1, 7)
    disturbances: list[Callable[[], object]] = [
        lambda: change_status(choose.choice(hosts.keeping), key, choose.choice("FOP")),
        lambda: database.execute(f"UPDATE orders_synced SET o_custkey = 7 WHERE o_orderkey = {key}"),
        lambda: database.execute(f"DELETE FROM orders_synced WHERE o_orderkey = {choose.randint(8, 200)}"),
        lambda: database.execute(RELOAD.format(status=f"'{choose.choice('FOP')}'")),
        lambda: database.execute(SWAP),
    ]
    choose.choice(disturbances)()


def change_status(client: FlaskClient, key: int, status: str) -> None:
    """Change it as somebody who may."""
    body = {"o_orderstatus": status}
    answer = client.post(f"/orders/{key}/status", json=body, headers={"X-Forwarded-User": "dan"})
    assert answer.status_code in (200, 404, 409, 422), answer.text


class Version(NamedTuple):
    """One version of the data, and between which times it was committed."""

    number: int
    began: float
    ended: float


def test_answers_are_of_a_moment_between_request_and_answer(hosts: Hosts, database: OrdersDatabase) -> None:
    versions = [Version(0, 0.0, 0.0)]
    database.execute("UPDATE orders_synced SET o_shippriority = 0")
    done = threading.Event()

    def write() -> None:
        for number in range(1, VERSIONS + 1):
            began = time.monotonic()
            database.execute(f"UPDATE orders_synced SET o_shippriority = {number} WHERE o_orderkey < 8")
            versions.append(Version(number, began, time.monotonic()))
        done.set()

    def read(number: int) -> list[tuple[float, int, float]]:
        client = hosts.keeping[number % 2].application.test_client()
        return list(read_until(done, client, itertools.cycle(PATHS[:3])))

    with ThreadPoolExecutor(2 * READERS + 1) as threads:
        writing = threads.submit(write)
        reading = [threads.submit(read, number) for number in range(2 * READERS)]
        writing.result()
        seen = [each for future in reading for each in future.result()]
    assert len(seen) > 2 * READERS
    for asked, number, answered in seen:
        least = max(version.number for version in versions if version.ended <= asked)
        most = max(version.number for version in versions if version.began <= answered)
        assert least <= number <= most


def read_until(
    done: threading.Event, client: FlaskClient, paths: Iterator[str]
) -> Iterator[tuple[float, int, float]]:
    """When each list was asked for, the version of what came, and when."""
    while not done.is_set():
        asked = time.monotonic()
        answer = ask(client, "dan", next(paths))
        answered = time.monotonic()
        if answer.status_code == 200:
            first = [order for order in answer.get_json()["orders"] if order["o_orderkey"] < 8]
            numbers = {order["o_shippriority"] for order in first}
            assert len(numbers) <= 1  # of one moment
            for number in numbers:
                yield asked, number, answered
