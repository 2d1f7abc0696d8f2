from collections.abc import Callable
from pathlib import Path

import pytest

from lakebase_api.local.data import load_declared
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.schemathesis_run import run_schemathesis
from tests.tables.trial import DECLARED

pytestmark = pytest.mark.slow

NAMES = ("customers", "events", "lineitems")
# Rows that have what no format of a schema has: infinite times, and numbers that JavaScript rounds.
UNUSUAL = """
DELETE FROM public.customer_synced WHERE c_custkey NOT BETWEEN 1 AND 140;
DELETE FROM app.events WHERE id::text ~ '^(00000000|ffffffff)';
DELETE FROM public.lineitem_synced WHERE l_orderkey NOT BETWEEN 0 AND 1000
"""


# Thousands of requests: on a busy machine that takes longer than a test usually may.
@pytest.mark.timeout(1800)
def test_every_answer_of_the_trial_to_valid_and_invalid_input_is_as_documented(
    trial_database: OrdersDatabase,
    start_gunicorn: Callable[[dict[str, str]], GunicornProcess],
    tmp_path: Path,
) -> None:
    trial_database.execute(UNUSUAL)
    declared = tmp_path / "tables.toml"
    declared.write_text(DECLARED)
    gunicorn = start_gunicorn({**trial_database.environment, "TABLES_FILE": str(declared)})
    gunicorn.wait_until_started()
    # Those of orders are looked at with the repository's own tables.
    paths = [path for path in gunicorn.get("/openapi.json").json()["paths"] if path.split("/")[1] in NAMES]
    assert len(paths) > 20
    run_schemathesis(gunicorn.url, load_declared(declared), tmp_path, *paths)
