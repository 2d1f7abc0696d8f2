"""Asking an app for changes of status, and looking at what became of them."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api.table.loading import read_tables
from tests.conftest import OrdersDatabase
from tests.waiting import wait_until

MERGE_PATCH = "application/merge-patch+json"
WAITING = """
SELECT count(*) >= {} FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'orders_app' AND wait_event_type = 'Lock'
"""
# The tables of the repository.
ORDERS_TABLES, _ = read_tables((Path(__file__).parents[2] / "tables.toml").read_text(), "tables.toml")
# Above those of the orders that are there.
own_keys = itertools.count(10_000_000)


def add_order(database: OrdersDatabase, status: str = "O", table: str = "orders_synced") -> int:
    """A new order in the table; its key."""
    key = next(own_keys)
    database.execute(f"INSERT INTO {table} (o_orderkey, o_orderstatus) VALUES ({key}, '{status}')")
    return key


def set_status(
    client: FlaskClient, order_key: int, status: str, headers: Mapping[str, str] | None = None
) -> TestResponse:
    """Change the status as clients of the template do."""
    return client.post(f"/orders/{order_key}/status", json={"o_orderstatus": status}, headers=headers)


def patch_status(
    client: FlaskClient, order_key: int, status: str, headers: Mapping[str, str] | None = None
) -> TestResponse:
    """Change the status by a merge patch."""
    body = f'{{"o_orderstatus": "{status}"}}'
    return client.patch(f"/orders/{order_key}", data=body, content_type=MERGE_PATCH, headers=headers)


def withdraw(client: FlaskClient, order_key: int, headers: Mapping[str, str] | None = None) -> TestResponse:
    """Withdraw the change."""
    return client.delete(f"/orders/{order_key}/status", headers=headers)


def set_statuses(
    client: FlaskClient,
    items: list[dict[str, Any]],
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> TestResponse:
    """Change the status of many orders."""
    return client.post(f"/orders/status{query}", json=items, headers=headers)


def read(client: FlaskClient, path: str, headers: dict[str, str] | None = None) -> Any:
    """What a path answers with 200."""
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json


def status_of(client: FlaskClient, order_key: int) -> str | None:
    """The status that is shown."""
    status: str | None = read(client, f"/orders/{order_key}")["o_orderstatus"]
    return status


def etag_of(client: FlaskClient, order_key: int) -> str:
    """The ETag as its header has it."""
    return client.get(f"/orders/{order_key}").headers["ETag"]


def changes_of(client: FlaskClient, order_key: int) -> list[tuple[int, str | None, str | None]]:
    """Version, old and new status of each change, the newest first."""
    history = read(client, f"/orders/{order_key}/history?page_size=1000")
    return [(each["version"], each["old_status"], each["new_status"]) for each in history["changes"]]


def assert_problem(answer: TestResponse, status: int, kind: str) -> Any:
    """The body of an answer with this problem."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["type"] == f"/problems/{kind}"
    return answer.json


def assert_replayed(again: TestResponse, first: TestResponse) -> None:
    """The answer is that of before, and says so."""
    assert (first.status_code, again.status_code) == (200, 200)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    assert again.headers.get("ETag") == first.headers.get("ETag")


@contextmanager
def held_change(
    database: OrdersDatabase, order_key: int, version: int = 1, table: str = "orders_synced"
) -> Iterator[None]:
    """Another writer has made this change of the order and does not end: who wants to make it waits.

    What it did is undone on leaving.
    """
    change = (
        "INSERT INTO lakebase_api.orders_history (o_orderkey, _source, _version, _old, _new, _synced,"
        f' _is_withdrawal, _changed_by, _request_id) VALUES ({order_key}, \'"public"."{table}"\', {version},'
        " '{}', '{}', '{}', false, 'another', 'another')"
    )
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute(change.encode())
        yield
        holder.rollback()


def wait_for_waiting(database: OrdersDatabase, sessions: int = 1) -> None:
    """Wait until so many sessions of the app, or more, wait for another. Raises ``TimeoutError``."""
    wait_until(lambda: database.execute(WAITING.format(sessions)) == [(True,)])
