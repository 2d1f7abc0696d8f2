"""A database in which tests change orders of their own, so that not each of them needs one."""

from collections.abc import Iterator

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.sql import overlay_tables
from tests.conftest import PASSWORD, ROLE, AppOpener, OrdersDatabase, clone_database, make_app
from tests.orders.changing import ORDERS_TABLES, add_order
from tests.orders.varied import create_varied_orders


@pytest.fixture(scope="session")
def shared_database(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database shared by tests of which each changes only orders that it adds; it has had changes."""
    database = clone_database(server, "orders_changed")
    with psycopg.connect(server.conninfo(database.name, ROLE, PASSWORD), autocommit=True) as connection:
        overlay_tables.set_up(connection, "lakebase_api", ORDERS_TABLES)
    return database


@pytest.fixture
def order_key(shared_database: OrdersDatabase) -> int:
    """An open order that no other test knows."""
    return add_order(shared_database)


@pytest.fixture(scope="module")
def writer(shared_database: OrdersDatabase, open_shared_app: AppOpener) -> FlaskClient:
    """A client of an app on the shared database."""
    return open_shared_app(shared_database.environment).test_client()


@pytest.fixture
def idempotency_key(order_key: int) -> dict[str, str]:
    """The header with a key that no other test uses."""
    return {"Idempotency-Key": f'"key-{order_key}"'}


@pytest.fixture(scope="session")
def varied_database(server: EmbeddedPostgres) -> OrdersDatabase:
    """A few dozen orders with NULLs, ties and changed statuses, for tests that only read."""
    return create_varied_orders(server, "orders_varied")


@pytest.fixture(scope="module")
def lister(varied_database: OrdersDatabase) -> Iterator[FlaskClient]:
    """A client of an app on the varied orders."""
    app = make_app(varied_database.environment)
    service = get_service(app)
    # What it would write each minute is a change of the database, and makes each list another one.
    service.observers.remove(service.usage)
    service.open()
    yield app.test_client()
    get_service(app).close()
