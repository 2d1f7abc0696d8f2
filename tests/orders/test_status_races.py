"""Many at once, over several workers of the real server: what is decided is decided in the statement."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
import requests

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.gunicorn_process import GunicornProcess
from tests.orders.changing import add_order, held_change, wait_for_waiting
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

WORKERS = 3
CONNECTIONS = 4  # of each
SETTINGS = {
    "WEB_CONCURRENCY": str(WORKERS),
    "DB_POOL_SIZE": str(CONNECTIONS),
    "DB_MAX_OVERFLOW": "0",
    "DB_POOL_TIMEOUT": "30",
    "DB_POOL_MAX_WAITING": "100",
    "STATUS_TRANSITIONS": "O>F,F>O,O>P",
}
WRITERS = 100
# So many that wait at once are of several workers.
SEVERAL = CONNECTIONS + 1


class Shop:
    """A server of several workers on a database of its own."""

    def __init__(self, database: OrdersDatabase, gunicorn: GunicornProcess) -> None:
        self.database = database
        self.gunicorn = gunicorn

    def send(self, path: str, body: Any, **headers: str) -> requests.Response:
        """A change, on a connection of its own, so that any worker may get it."""
        url = self.gunicorn.url + path
        return requests.post(url, json=body, headers=headers, timeout=PATIENCE)

    def set_status(self, key: int, status: str, **headers: str) -> requests.Response:
        return self.send(f"/orders/{key}/status", {"o_orderstatus": status}, **headers)

    def changes_of(self, key: int) -> list[tuple[int, str, str]]:
        changes = self.gunicorn.get(f"/orders/{key}/history?page_size=1000").json()["changes"]
        return [(each["version"], each["old_status"], each["new_status"]) for each in changes]

    def count_workers(self, key: int) -> int:
        """How many processes have answered a change of the order."""
        lines = [line for line in self.gunicorn.output.splitlines() if f"POST /orders/{key}/" in line]
        return len({line.split("[")[1] for line in lines})


@contextmanager
def opened(database: OrdersDatabase, **settings: str) -> Iterator[Shop]:
    with GunicornProcess({**database.environment, **SETTINGS, **settings}) as gunicorn:
        shop = Shop(database, gunicorn.wait_until_started())
        assert shop.set_status(1, "F").status_code == 200  # makes the tables
        yield shop


@pytest.fixture(scope="module")
def shop(server: EmbeddedPostgres) -> Iterator[Shop]:
    """The overlay."""
    with opened(clone_database(server, "orders_raced")) as shop:
        yield shop


@pytest.fixture(scope="module")
def direct(server: EmbeddedPostgres) -> Iterator[Shop]:
    """Changes in the table itself."""
    database = clone_database(server, "orders_raced_directly")
    database.execute(f"GRANT UPDATE ON orders_synced TO {ROLE}")
    with opened(database, STATUS_WRITES="direct") as shop:
        yield shop


def together(asks: Sequence[Callable[[], requests.Response]]) -> list[requests.Response]:
    """The answers of requests that are sent at once."""
    with ThreadPoolExecutor(len(asks)) as threads:
        return [each.result() for each in [threads.submit(ask) for ask in asks]]


def count_statuses(answers: list[requests.Response]) -> dict[int, int]:
    return dict(Counter(answer.status_code for answer in answers))


def assert_gapless(changes: list[tuple[int, str, str]], first: str) -> None:
    """The versions run from 1, and each change begins where the one before ended."""
    assert [version for version, _, _ in changes] == list(range(len(changes), 0, -1))
    news = [first, *(new for _, _, new in reversed(changes))]
    assert [old for _, old, _ in reversed(changes)] == news[:-1]


def test_first_changes_at_once_make_the_tables_once_and_all_succeed(shop: Shop) -> None:
    for _ in range(5):  # who comes at which moment is left to chance
        keys = [add_order(shop.database) for _ in range(WORKERS * CONNECTIONS)]
        shop.database.execute("DROP SCHEMA lakebase_api CASCADE")
        answers = together([partial(shop.set_status, key, "F") for key in keys])
        assert count_statuses(answers) == {200: len(keys)}
        assert [shop.changes_of(key) for key in keys] == [[(1, "O", "F")]] * len(keys)
        assert shop.database.execute("SELECT count(*) FROM lakebase_api.schema_version") == [(1,)]


@contextmanager
def held(shop: Shop, key: int, *, is_direct: bool) -> Iterator[None]:
    """Nobody can change the order; what all who try saw is what there was."""
    with ExitStack() as stack:
        if is_direct:
            holder = stack.enter_context(psycopg.connect(shop.database.server.conninfo(shop.database.name)))
            holder.execute(f"SELECT FROM orders_synced WHERE o_orderkey = {key} FOR UPDATE".encode())
        else:
            stack.enter_context(held_change(shop.database, key))
        yield


@pytest.mark.parametrize("way", ["shop", "direct"])
def test_of_100_writers_with_one_etag_exactly_one_succeeds(request: pytest.FixtureRequest, way: str) -> None:
    shop: Shop = request.getfixturevalue(way)
    key = add_order(shop.database)
    etag = shop.gunicorn.get(f"/orders/{key}").headers["ETag"]
    with ThreadPoolExecutor(WRITERS) as threads:
        with held(shop, key, is_direct=way == "direct"):
            asked = [threads.submit(shop.set_status, key, "F", **{"If-Match": etag}) for _ in range(WRITERS)]
            wait_for_waiting(shop.database, SEVERAL)
        answers = [each.result() for each in asked]
    assert count_statuses(answers) == {200: 1, 412: WRITERS - 1}
    assert len({answer.headers["ETag"] for answer in answers} - {etag}) == 1
    assert shop.changes_of(key) == [(1, "O", "F")]
    assert shop.count_workers(key) > 1


@pytest.mark.parametrize("way", ["shop", "direct"])
def test_of_writers_without_an_etag_all_succeed_and_the_history_has_no_gap(
    request: pytest.FixtureRequest, way: str
) -> None:
    shop: Shop = request.getfixturevalue(way)
    key = add_order(shop.database)
    asks = [partial(shop.set_status, key, "OF"[n % 2]) for n in range(40)]
    assert count_statuses(together(asks)) == {200: 40}
    changes = shop.changes_of(key)
    assert_gapless(changes, first="O")
    assert shop.gunicorn.get(f"/orders/{key}").json()["o_orderstatus"] == changes[0][2]


def test_of_repeats_at_once_on_several_workers_one_makes_the_change(shop: Shop) -> None:
    key = add_order(shop.database)
    name = {"Idempotency-Key": f'"raced-{key}"'}
    answers = together([partial(shop.set_status, key, "F", **name)] * 20)
    assert count_statuses(answers) == {200: 20}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert shop.changes_of(key) == [(1, "O", "F")]


def test_of_changes_that_exclude_each_other_one_is_made(shop: Shop) -> None:
    key = add_order(shop.database)
    with ThreadPoolExecutor(WRITERS) as threads:
        with held_change(shop.database, key):
            asked = [threads.submit(shop.set_status, key, "FP"[n % 2]) for n in range(WRITERS)]
            wait_for_waiting(shop.database, SEVERAL)
        answers = [each.result() for each in asked]
    # Neither F>P nor P>F is among the transitions.
    assert count_statuses(answers) == {200: WRITERS // 2, 409: WRITERS // 2}
    [(version, old, new)] = shop.changes_of(key)
    assert (version, old) == (1, "O")
    assert {answer.json()["o_orderstatus"] for answer in answers if answer.status_code == 200} == {new}


@pytest.mark.parametrize("way", ["shop", "direct"])
def test_batches_of_the_same_orders_in_opposite_order_do_not_meet_in_a_deadlock(
    request: pytest.FixtureRequest, way: str
) -> None:
    shop: Shop = request.getfixturevalue(way)
    keys = [add_order(shop.database) for _ in range(11)]
    items = [{"o_orderkey": key, "o_orderstatus": "F"} for key in keys]
    log = shop.database.server.log_path
    before = len(log.read_text())
    with ThreadPoolExecutor(2) as threads:
        # Each would have its half when it comes to the order in the middle.
        with held(shop, keys[5], is_direct=way == "direct"):
            asked = [threads.submit(shop.send, "/orders/status", each) for each in (items, items[::-1])]
            wait_for_waiting(shop.database, 2)
        answers = [each.result() for each in asked]
    assert count_statuses(answers) == {200: 2}
    assert "deadlock" not in log.read_text()[before:]
    assert sorted(answer.json()["changed"] for answer in answers) == [0, 11]
    assert all(len(shop.changes_of(key)) == 1 for key in keys)
