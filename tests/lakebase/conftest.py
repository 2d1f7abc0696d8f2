"""An open database, as the settings of a test say."""

from collections.abc import Iterator

import pytest

from lakebase_api.environment import load_settings
from lakebase_api.lakebase.database import Database
from lakebase_api.settings import Settings
from tests.conftest import OrdersDatabase
from tests.lakebase.borrowing import connect


@pytest.fixture
def settings(unchanged_database: OrdersDatabase) -> Settings:
    return load_settings({**unchanged_database.environment, "PGAPPNAME": "a-test"})


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = connect(settings)
    database.open()
    yield database
    database.close()
