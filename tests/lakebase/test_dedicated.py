"""Dedicated connections at the end of the service."""

import time
from collections.abc import Iterator

import pytest

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.dedicated import DedicatedConnections
from lakebase_api.lakebase.setup_faults import SetupLog
from lakebase_api.lakebase.slots import Slots
from lakebase_api.settings import Settings
from tests.lakebase.borrowing import ask, connect
from tests.waiting import PATIENCE


@pytest.fixture
def dedicated(settings: Settings) -> Iterator[DedicatedConnections]:
    database = connect(settings)
    database.watchdog.open()
    setup = SetupLog(lambda connection: [])
    yield DedicatedConnections(
        settings, Slots(settings, database._pool, {"orders": setup}), database.watchdog
    )
    database.watchdog.close()


def test_closing_ends_connections_that_are_free_and_those_in_use_after_their_query(
    dedicated: DedicatedConnections,
) -> None:
    used: list[Connection] = []

    def close_meanwhile(connection: Connection) -> object:
        used.append(connection)
        dedicated.close()
        return ask("SELECT 1")(connection)

    with dedicated.begin("ann", "orders", lambda connection: None, time.monotonic() + PATIENCE) as work:
        work.read(used.append, 20)
        dedicated.close()
        assert used[0].closed
        assert work.read(close_meanwhile, 20) == 1
        assert used[1].closed
