"""Callers of one service who have different rows and columns of the orders."""

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase

# ann and eve have what is open or in progress, bob what is fulfilled, cid all without two columns, dan all.
RIGHTS = """
[roles]
open = ["orders:read", "orders:export", "orders:change", "orders:history"]
fulfilled = ["orders:read", "orders:export", "orders:change", "orders:history"]
narrow = ["orders:read", "orders:export", "orders:change", "orders:history"]
all = ["*:read", "*:export", "*:change", "*:history"]
[callers]
ann = "open"
eve = "open"
bob = "fulfilled"
cid = "narrow"
dan = "all"
[rows.orders]
open = { o_orderstatus = ["O", "P"] }
fulfilled = { o_orderstatus = "F" }
[hidden.orders]
narrow = ["o_comment", "o_totalprice"]
"""
NAMES = ("ann", "bob", "cid", "dan", "eve")
WHERE = {"ann": "o_orderstatus <> 'F'", "bob": "o_orderstatus = 'F'", "dan": "true"}

Clients = dict[str, FlaskClient]


def connect_callers(database: OrdersDatabase, open_app: AppOpener, folder: Path) -> Clients:
    """A client of one app for each caller, by name."""
    path = folder / "rights.toml"
    path.write_text(RIGHTS)
    environment = {"RIGHTS_FILE": str(path), "TRUST_FORWARDED_IDENTITY": "true"}
    app = open_app({**database.environment, **environment})
    clients = {name: app.test_client() for name in NAMES}
    for name, client in clients.items():
        client.environ_base["HTTP_X_FORWARDED_USER"] = name
    return clients


def find_keys(database: OrdersDatabase, status: str, number: int = 1) -> list[Any]:
    """The first keys of orders that have this status in the table."""
    found = database.execute(
        f"SELECT o_orderkey FROM orders_synced WHERE o_orderstatus = '{status}' ORDER BY 1 LIMIT {number}"
    )
    return [key for (key,) in found]
