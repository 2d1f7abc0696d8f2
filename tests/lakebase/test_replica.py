"""Reads from a replica that follows the primary, on two real servers."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api.app import get_service
from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase import statements
from lakebase_api.lakebase.caller import Background
from lakebase_api.lakebase.connection import Connection, is_to_replica
from lakebase_api.lakebase.findings import Check, State
from lakebase_api.lakebase.replica import ANYWHERE
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import patch_status, set_status, status_of
from tests.standby import Pair, start_pair
from tests.waiting import PATIENCE, wait_until

LISTS = [
    "/orders/pages?include_count=false",
    "/orders/stream?sort=-o_totalprice",
    "/orders?keys=1,2,3",
    "/orders/sample",
    "/orders/export?fields=o_orderkey",
]
READ_AFTER = "X-Read-After"

keys = itertools.count(1000)


@pytest.fixture(scope="module")
def started_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with start_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(started_pair: Pair) -> Pair:
    """Both servers, the replica with all that there is."""
    started_pair.go_on()
    started_pair.catch_up()
    return started_pair


@pytest.fixture
def app(pair: Pair, open_app: AppOpener) -> Flask:
    """An app that reads from the replica already."""
    app = open_app(pair.environment)
    client = app.test_client()
    assert status_of(client, 1)
    # The tables of changes, which are made at the first connection, have to be there too.
    pair.catch_up()
    wait_until(lambda: who_served(client.get("/orders/sample")) == "replica")
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def order(pair: Pair) -> int:
    """The key of an order that no other test has changed, and whose status is O."""
    key = next(keys)
    pair.database.execute(
        f"INSERT INTO orders_synced SELECT 100000 + {key}, o_custkey, 'O', o_totalprice, o_orderdate, "
        "o_orderpriority, o_clerk, o_shippriority, o_comment FROM orders_synced WHERE o_orderkey = 1"
    )
    pair.catch_up()
    return 100_000 + key


def who_served(answer: TestResponse) -> str | None:
    """Which server the answer says that it is of."""
    assert answer.status_code == 200, answer.text
    database = answer.headers["Server-Timing"].partition(",")[0]
    answer.get_data()
    return database.partition("desc=")[2] or None


def list_status(client: FlaskClient, key: int, token: str | None = None) -> tuple[str, str | None]:
    """The status of an order in a list, and who served that."""
    headers = {READ_AFTER: token} if token else {}
    answer = client.get(f"/orders?keys={key}&fields=o_orderstatus", headers=headers)
    served_by = who_served(answer)
    return answer.get_json()["orders"][0]["o_orderstatus"], served_by


@pytest.mark.parametrize("path", LISTS)
def test_lists_samples_and_exports_are_of_the_replica(client: FlaskClient, path: str) -> None:
    assert who_served(client.get(path)) == "replica"


def test_rows_and_histories_are_of_the_primary(client: FlaskClient, order: int) -> None:
    assert who_served(client.get(f"/orders/{order}")) == "primary"
    changed = set_status(client, order, "P")
    assert who_served(changed) == "primary"
    assert who_served(client.get(f"/orders/{order}/history")) == "primary"


def test_counts_are_of_the_replica(pair: Pair, client: FlaskClient, order: int) -> None:
    pair.pause()
    pair.database.execute(f"DELETE FROM orders_synced WHERE o_orderkey = {order}")
    answer = client.get("/orders/count?accuracy=exact").get_json()
    assert [(answer["total_orders"],)] != pair.database.execute("SELECT count(*) FROM orders_synced")


def test_without_a_replica_nothing_is_said_of_one(pair: Pair, open_app: AppOpener, order: int) -> None:
    client = open_app(pair.database.environment).test_client()
    answer = set_status(client, order, "P")
    assert READ_AFTER not in answer.headers
    assert who_served(answer) is None
    assert READ_AFTER not in client.get("/openapi.json").text


def test_a_change_is_read_by_who_made_it(pair: Pair, client: FlaskClient, order: int) -> None:
    pair.pause()
    token = set_status(client, order, "P").headers[READ_AFTER]
    assert list_status(client, order) == ("O", "replica")
    assert list_status(client, order, token) == ("P", "primary")
    pair.go_on()
    pair.catch_up()
    assert list_status(client, order, token) == ("P", "replica")
    assert list_status(client, order) == ("P", "replica")


def test_a_change_that_is_not_on_the_disk_yet_is_read_too(
    pair: Pair, open_app: AppOpener, order: int
) -> None:
    pair.database.execute(f"ALTER ROLE {ROLE} SET synchronous_commit = off")
    try:
        client = open_app(pair.environment).test_client()
        wait_until(lambda: who_served(client.get("/orders/sample")) == "replica")
        set_status(client, order, "P")
        pair.catch_up()
        pair.pause()
        for status in "FOP":
            token = set_status(client, order, status).headers[READ_AFTER]
            assert list_status(client, order, token) == (status, "primary")
    finally:
        pair.database.execute(f"ALTER ROLE {ROLE} RESET synchronous_commit")


def test_an_export_shows_the_change_that_it_is_to_show(pair: Pair, client: FlaskClient, order: int) -> None:
    pair.pause()
    token = set_status(client, order, "P").headers[READ_AFTER]
    path = f"/orders/export?fields=o_orderkey,o_orderstatus&header=false&cursor={order - 1}"

    def export(headers: dict[str, str]) -> tuple[str, str | None]:
        answer = client.get(path, headers=headers)
        return answer.text.split()[0][-1], who_served(answer)

    assert export({}) == ("O", "replica")
    assert export({READ_AFTER: token}) == ("P", "primary")


@pytest.mark.parametrize("token", ["1", "0/0/0", "0/123456789", "g/1", "", "0/1 "])
def test_what_no_change_was_answered_with_is_refused(client: FlaskClient, token: str) -> None:
    answer = client.get("/orders/pages", headers={READ_AFTER: token})
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["name"] == READ_AFTER


def test_after_a_commit_whose_position_is_not_known_the_primary_answers(
    client: FlaskClient, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(statements, "FIND_END", b"SELECT 1 / 0")
        token = set_status(client, order, "P").headers[READ_AFTER]
    assert list_status(client, order, token) == ("P", "primary")


def test_what_is_in_memory_is_no_older_than_what_is_demanded(
    pair: Pair, client: FlaskClient, order: int
) -> None:
    assert list_status(client, order) == ("O", "replica")
    pair.pause()
    for status in ("P", "F", "O") * 3:
        token = patch_status(client, order, status).headers[READ_AFTER]
        assert list_status(client, order, token) == (status, "primary")
        assert list_status(client, order)[0] == "O"  # from memory: the replica says that nothing changed
    token = patch_status(client, order, "F").headers[READ_AFTER]
    pair.go_on()
    pair.catch_up()
    assert list_status(client, order)[0] == "F"
    assert list_status(client, order, token) == ("F", "replica")


def test_a_list_that_is_unchanged_on_the_replica_is_304(pair: Pair, client: FlaskClient, order: int) -> None:
    path = "/orders/stream?page_size=3"
    etag = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    set_status(client, order, "P")
    pair.catch_up()
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_of_a_replica_in_the_place_of_the_primary_nothing_is_taken_for_unchanged(
    pair: Pair, client: FlaskClient, open_app: AppOpener
) -> None:
    environment = {**pair.database.environment, "PGPORT": pair.environment["PGPORT_READ"]}
    alone = open_app(environment).test_client()
    for _ in range(3):
        answer = alone.get("/orders/stream?page_size=3")
        assert answer.status_code == 200
        assert "ETag" not in answer.headers
        assert "304" not in answer.headers["Cache-Status"]


def test_while_the_replica_is_away_the_primary_answers(
    pair: Pair, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    pair.standby.stop("immediate")
    try:
        served = [who_served(client.get(path)) for path in LISTS * 3]
        # Nobody is named of what is in memory and was found to be unchanged.
        assert set(served) - {None} == {"primary"}
        wait_until(lambda: "Connecting to the replica failed: " in caplog.text)
        assert "The primary answers meanwhile; see LAKEBASE_READ_ENDPOINT" in caplog.text
    finally:
        pair.standby.start()
    wait_until(lambda: who_served(client.get("/orders/sample")) == "replica")


def test_while_the_primary_is_away_lists_go_on(pair: Pair, client: FlaskClient) -> None:
    pair.database.server.stop("immediate")
    try:
        assert {who_served(client.get(path)) for path in LISTS} <= {"replica", None}
        assert client.get("/orders/1", headers={"X-Request-Timeout": "0.5"}).status_code == 504
    finally:
        pair.database.server.start()
    wait_until(lambda: client.get("/orders/1").status_code == 200)


def test_an_export_goes_on_where_the_replica_ended(pair: Pair, client: FlaskClient) -> None:
    wanted = {int(str(key)) for (key,) in pair.database.execute("SELECT o_orderkey FROM orders_synced")}
    answer = client.get("/orders/export?fields=o_orderkey&header=false")
    assert who_said(answer) == "replica"
    pieces = answer.iter_encoded()
    got = [next(pieces)]
    pair.standby.stop("immediate")
    try:
        got += pieces
    finally:
        pair.standby.start()
    found = [int(key) for key in b"".join(got).split()]
    assert len(found) == len(wanted)
    assert set(found) == wanted


def who_said(answer: TestResponse) -> str:
    """Which server the head of a streamed answer says that it is of."""
    return answer.headers["Server-Timing"].partition(",")[0].partition("desc=")[2]


def test_what_a_sync_cancels_the_primary_answers(pair: Pair, app: Flask) -> None:
    pair.configure("max_standby_streaming_delay", "0")
    database = get_service(app).lakebase.database.for_table("orders")
    is_running = threading.Event()
    asked: list[bool] = []

    def query(connection: Connection) -> bool:
        asked.append(is_to_replica(connection))
        if asked[-1]:
            with connection.transaction():
                connection.execute("SELECT count(*) FROM orders_synced")
                is_running.set()
                connection.execute("SELECT pg_sleep(60)")
        return is_to_replica(connection)

    with ThreadPoolExecutor(1) as pool:
        caller = Background(float("inf"), reads_after=ANYWHERE)
        answer = pool.submit(database.read_for, caller, query)
        assert is_running.wait(PATIENCE)
        pair.database.execute(
            "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE orders_synced; TRUNCATE orders_synced; "
            "INSERT INTO orders_synced SELECT * FROM kept; COMMIT"
        )
        assert answer.result(PATIENCE) is False
    assert asked == [True, False]


def test_a_server_that_is_no_replica_is_not_read(
    pair: Pair, open_app: AppOpener, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {**pair.environment, "PGPORT_READ": pair.environment["PGPORT"]}
    client = open_app(environment).test_client()
    wait_until(lambda: "The replica is of no use: it is not in recovery" in caplog.text)
    assert {who_served(client.get(path)) for path in LISTS} == {"primary"}


def test_the_document_tells_of_it(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    takes = {
        path
        for path, operations in paths.items()
        if any(each.get("name") == READ_AFTER for each in operations.get("get", {}).get("parameters", []))
    }
    assert takes == {f"/orders{end}" for end in ("", "/count", "/export", "/pages", "/sample", "/stream")}
    changed = paths["/orders/{order_key}/status"]["post"]["responses"]["200"]
    assert READ_AFTER in changed["headers"]


def test_metrics_count_what_became_of_reads(pair: Pair, app: Flask, client: FlaskClient, order: int) -> None:
    def read_count(result: str) -> float:
        name = f'lakebase_replica_reads_total{{result="{result}"}} '
        [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
        return float(line.removeprefix(name))

    before = read_count("answered"), read_count("behind")
    pair.pause()
    token = set_status(client, order, "P").headers[READ_AFTER]
    list_status(client, order, token)
    list_status(client, order)
    assert (read_count("answered"), read_count("behind")) == (before[0] + 1, before[1] + 1)


def judge(environment: dict[str, str]) -> Check:
    [check] = [check for check in run_checks(environment) if check.name == "replica"]
    return check


def test_doctor_says_of_one_that_follows_that_it_is_well(pair: Pair) -> None:
    pair.catch_up()
    check = judge(pair.environment)
    assert (check.state, check.says) == (State.OK, "127.0.0.1 follows, 0 bytes of log behind")


def test_doctor_looks_for_none_where_none_is_named(pair: Pair) -> None:
    assert "replica" not in [check.name for check in run_checks(pair.database.environment)]


def test_doctor_knows_the_primary_and_another_server(pair: Pair, unchanged_database: OrdersDatabase) -> None:
    port = pair.environment["PGPORT"]
    check = judge({**pair.environment, "PGPORT_READ": port})
    assert (check.state, check.says) == (State.FAILED, "it is the primary, or was made one")
    check = judge({**unchanged_database.environment, "PGHOST_READ": "127.0.0.1", "PGPORT_READ": port})
    assert check.state is State.FAILED
    assert check.says.startswith(("it is of another database server", "connection failed"))


def test_doctor_and_the_probe_say_of_one_that_is_away_that_it_is(pair: Pair, open_app: AppOpener) -> None:
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_changes_are_each_read_at_once(started_pair: Pair, open_app: AppOpener) -> None:
    """Each by who made it, while the replica shows everything a second late."""
    pair, writers, rounds = started_pair, 8, 1250
    pair.go_on()
    pair.catch_up()
    app = open_app({**pair.environment, "DB_POOL_SIZE": "4", "DB_MAX_OVERFLOW": "8"})
    rows = [
        int(str(key))
        for (key,) in pair.database.execute(
            f"SELECT o_orderkey FROM orders_synced ORDER BY o_orderkey LIMIT {writers}"
        )
    ]
    status_of(app.test_client(), rows[0])
    pair.catch_up()
    pair.configure("recovery_min_apply_delay", "1s")
    served: dict[str | None, int] = {}
    lock = threading.Lock()

    def write_and_read(key: int) -> list[tuple[int, str, str]]:
        client, stale = app.test_client(), []
        for step in range(rounds):
            status = "FOP"[step % 3]
            answer = patch_status(client, key, status)
            assert answer.status_code == 200, answer.text
            shown, by = list_status(client, key, answer.headers[READ_AFTER])
            if shown != status:
                stale.append((step, status, shown))
            # Between them what others read, of which most is a second old.
            _, other = list_status(client, key)
            with lock:
                served[by] = served.get(by, 0) + 1
                served[f"plain {other}"] = served.get(f"plain {other}", 0) + 1
        return stale

    try:
        with ThreadPoolExecutor(writers) as pool:
            stale = list(pool.map(write_and_read, rows))
    finally:
        pair.configure("recovery_min_apply_delay", "0")
    assert stale == [[]] * writers
    # The replica was far behind all the while, and served who did not demand more.
    assert served["primary"] > writers * rounds / 2
    assert served.get("plain replica", 0) > 0
