from collections.abc import Callable
from pathlib import Path

import pytest

from lakebase_api.local.data import load_declared
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.schemathesis_run import run_schemathesis

pytestmark = pytest.mark.slow


# Thousands of requests: on a busy machine that takes longer than a test usually may.
@pytest.mark.timeout(1200)
def test_every_answer_to_valid_and_invalid_input_is_as_documented(
    database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess], tmp_path: Path
) -> None:
    gunicorn = start_gunicorn(database.environment)
    gunicorn.wait_until_started()
    run_schemathesis(gunicorn.url, load_declared(ROOT / "tables.toml"), tmp_path)
