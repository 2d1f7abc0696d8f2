"""Tells what is wrong with the file of TABLES, and nothing else."""

import pytest

from lakebase_api.local.data import load_declared
from lakebase_api.local.failure import LocalFailure
from tests.tables.every.files import FILES


def pytest_configure() -> None:
    """Refuse to begin where a file cannot be read."""
    for file in FILES:
        try:
            load_declared(file)
        except LocalFailure as failure:
            raise pytest.UsageError(str(failure)) from None
