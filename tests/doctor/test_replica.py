"""Whether the replica of the settings can be read from, as `doctor` and the probe say it."""

from collections.abc import Iterator

import pytest

from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase.findings import Check, State
from tests.conftest import AppOpener, OrdersDatabase
from tests.standby import Pair, start_pair
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with start_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def judge(environment: dict[str, str]) -> Check:
    [check] = [check for check in run_checks(environment) if check.name == "replica"]
    return check


def test_one_that_follows_is_well(pair: Pair) -> None:
    pair.catch_up()
    check = judge(pair.environment)
    assert (check.state, check.says) == (State.OK, "127.0.0.1 follows, 0 bytes of log behind")


def test_none_is_looked_for_where_none_is_named(pair: Pair) -> None:
    assert "replica" not in [check.name for check in run_checks(pair.database.environment)]


def test_the_primary_and_another_server_are_none(pair: Pair, unchanged_database: OrdersDatabase) -> None:
    port = pair.environment["PGPORT"]
    check = judge({**pair.environment, "PGPORT_READ": port})
    assert (check.state, check.says) == (State.FAILED, "it is the primary, or was made one")
    check = judge({**unchanged_database.environment, "PGHOST_READ": "127.0.0.1", "PGPORT_READ": port})
    assert check.state is State.FAILED
    assert check.says.startswith(("it is of another database server", "connection failed"))


def test_one_that_is_away_is_said_to_be(pair: Pair, open_app: AppOpener) -> None:
    client = open_app(pair.environment).test_client()

    def read_part() -> str:
        return str(client.get("/readyz?verbose").get_json()["parts"]["replica"])

    wait_until(lambda: client.get("/orders/1").status_code == 200)
    assert read_part() == "ok"
    pair.standby.stop("immediate")
    try:
        assert "the primary answers all meanwhile" in judge(pair.environment).says
        wait_until(lambda: client.get("/orders/sample").status_code == 200 and read_part() != "ok")
        assert client.get("/readyz").status_code == 200
    finally:
        pair.standby.start()
    wait_until(lambda: client.get("/orders/sample").status_code == 200 and read_part() == "ok")
