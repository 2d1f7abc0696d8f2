"""How fresh a synced table is, by the real server: its workers ask once for all of them."""

from collections.abc import Callable

import pytest

from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.stand_in import SyncedTable
from tests.waiting import PATIENCE

NAME = "main.shop.orders"
WORKERS = 3


def test_the_workers_of_a_server_ask_once_for_all_and_not_before_a_request(
    lakebase: LakebaseStandIn, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    lakebase.workspace.synced_tables[NAME] = SyncedTable()
    settings = {"SYNCED_TABLE": NAME, "WEB_CONCURRENCY": str(WORKERS)}
    server = start_gunicorn({**lakebase.environment(), **settings}).wait_until_started()
    assert server.get("/readyz").status_code == 200
    assert lakebase.workspace.synced_table_requests == 0
    in_a_row = 0
    while in_a_row < 20 * WORKERS:
        # A connection of its own each time: any worker takes it.
        answer = server.get("/orders/1", Connection="close")
        in_a_row = in_a_row + 1 if answer.headers.get("X-Data-Version") == "4711" else 0
    assert lakebase.workspace.synced_table_requests == 1
    assert "Traceback" not in server.output


@pytest.mark.slow
def test_a_workspace_that_hangs_harms_no_read_and_no_stop(
    lakebase: LakebaseStandIn, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    lakebase.workspace.synced_tables[NAME] = SyncedTable()
    server = start_gunicorn({**lakebase.environment(), "SYNCED_TABLE": NAME}).wait_until_started()
    lakebase.workspace.hang("synced_table")
    assert server.get("/orders/1").status_code == 200
    lakebase.workspace.events.wait_for("hung", 1)
    for _ in range(50):
        assert server.get("/orders/1").status_code == 200
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0
