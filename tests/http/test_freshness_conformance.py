"""How fresh a synced table is, held against what the document says of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lakebase_api.local.data import load_declared
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.schemathesis_run import run_schemathesis
from tests.stand_in import SyncedTable

pytestmark = pytest.mark.slow
NAME = "main.shop.orders"


@pytest.mark.timeout(1200)
def test_reads_of_a_synced_table_are_as_documented(
    lakebase: LakebaseStandIn, start_gunicorn: Callable[[dict[str, str]], GunicornProcess], tmp_path: Path
) -> None:
    # Has every version that can be asked for: that one is not there is no error of the service.
    lakebase.workspace.synced_tables[NAME] = SyncedTable(version=2**63 - 1)
    gunicorn = start_gunicorn({**lakebase.environment(), "SYNCED_TABLE": NAME})
    gunicorn.wait_until_started()
    tables = load_declared(ROOT / "tables.toml")
    # Of what has no query it would hold that headers which the document does not have are refused.
    run_schemathesis(gunicorn.url, tables, tmp_path, "/orders/freshness", "/orders/count", "/orders/sample")
