"""A change is one statement in one round trip."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import set_status, set_statuses, withdraw

# psycopg prepares a statement when it has run so many times.
TIMES_UNTIL_PREPARED = 6

Change = Callable[[FlaskClient, int], TestResponse]


def read_log(database: OrdersDatabase) -> str:
    return database.server.log_path.read_text()


@pytest.fixture
def logged(database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app with one connection, of which the server logs what it sends."""
    database.execute(f"ALTER ROLE {ROLE} IN DATABASE {database.name} SET log_statement = 'all'")
    one = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
    return open_app({**database.environment, **one}).test_client()


@pytest.mark.parametrize(
    "change",
    [
        lambda client, n: set_status(client, 1, "OF"[n % 2]),
        lambda client, n: set_status(client, 1, "OF"[n % 2], {"Idempotency-Key": f'"key-{n}"'}),
        lambda client, n: withdraw(client, 1) if n % 2 else set_status(client, 1, "F"),
        lambda client, n: set_statuses(
            client,
            [{"o_orderkey": key, "o_orderstatus": "OF"[n % 2]} for key in (1, 2, 3)],
            headers={"Idempotency-Key": f'"key-{n}"'},
        ),
        lambda client, n: set_status(client, 1, "O", {"Idempotency-Key": '"again"'}),
        lambda client, n: set_status(client, 1, "F", {"If-Match": '"other"'}),
    ],
    ids=["plain", "with a key", "withdrawal", "batch", "replay", "refusal"],
)
def test_a_change_is_one_statement(database: OrdersDatabase, logged: FlaskClient, change: Change) -> None:
    for n in range(TIMES_UNTIL_PREPARED):
        change(logged, n)
    before = len(read_log(database))
    changes = 4
    for n in range(TIMES_UNTIL_PREPARED, TIMES_UNTIL_PREPARED + changes):
        change(logged, n)
    said = re.findall(r" LOG:  (\w+)", read_log(database)[before:])
    assert said == ["execute"] * changes
