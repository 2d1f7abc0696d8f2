"""The real server behind a proxy that breaks the network."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.faults.service import AppStarter
from tests.gunicorn_process import GunicornProcess


@pytest.fixture
def proxy(database: OrdersDatabase) -> Iterator[FaultProxy]:
    with FaultProxy(database.server.port) as proxy:
        yield proxy


@pytest.fixture
def start(
    database: OrdersDatabase, proxy: FaultProxy, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> AppStarter:
    """Starts the server on the test's own database, behind the proxy; settings are keyword arguments."""

    def start_one(**settings: str) -> GunicornProcess:
        environment = {**database.environment, "PGPORT": str(proxy.port), "WEB_THREADS": "64", **settings}
        return start_gunicorn(environment).wait_until_started()

    return start_one
