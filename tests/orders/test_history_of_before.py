"""Histories that an earlier release made, which do not say how it was known who changed an order."""

import pytest
from flask.testing import FlaskClient

from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import read, set_status

CIRCUMSTANCES = ("changed_by", "changed_by_label", "changed_by_method")


@pytest.fixture
def of_before(database: OrdersDatabase, open_app: AppOpener) -> OrdersDatabase:
    """A database with a change by an earlier release."""
    assert set_status(open_app(database.environment).test_client(), 1, "F").status_code == 200
    database.execute(
        "ALTER TABLE lakebase_api.orders_history DROP COLUMN _changed_label, DROP COLUMN _changed_method"
    )
    return database


def find_circumstances(client: FlaskClient) -> list[tuple[str | None, ...]]:
    """Who made each change of an order, by what is told of them."""
    changes = read(client, "/orders/1/history")["changes"]
    return [tuple(change[name] for name in CIRCUMSTANCES) for change in changes]


def test_a_history_of_before_is_given_the_columns_by_the_app_that_owns_it(
    of_before: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app(of_before.environment).test_client()
    assert set_status(client, 1, "P").status_code == 200
    assert find_circumstances(client) == [("local", "local", "local"), ("local", None, None)]


def test_changes_and_their_history_go_on_where_only_somebody_else_may_add_the_columns(
    of_before: OrdersDatabase, open_app: AppOpener
) -> None:
    of_before.execute(
        "ALTER TABLE lakebase_api.orders_history OWNER TO CURRENT_USER;"
        f"GRANT SELECT, INSERT ON lakebase_api.orders_history TO {ROLE}"
    )
    client = open_app(of_before.environment).test_client()
    assert set_status(client, 1, "P").status_code == 200
    assert find_circumstances(client) == [("local", None, None), ("local", None, None)]


def test_the_release_of_before_goes_on_writing_beside_this_one(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app(database.environment).test_client()
    assert set_status(client, 1, "F").status_code == 200
    database.execute(
        "INSERT INTO lakebase_api.orders_history (o_orderkey, _source, _version, _old, _new, _synced,"
        " _is_withdrawal, _changed_by, _request_id, _idempotency_key)"
        " SELECT o_orderkey, _source, 2, _new, _old, _synced, false, 'before', 'id', NULL"
        " FROM lakebase_api.orders_history"
    )
    assert find_circumstances(client) == [("before", None, None), ("local", "local", "local")]
