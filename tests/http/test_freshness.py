"""How fresh a synced table is, in answers: by the real SDK from the stand-in for the workspace."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api.app import get_service
from lakebase_api.lakebase import workspace as workspace_module
from lakebase_api.lakebase.freshness import FreshnessWatch
from tests.conftest import AppOpener, OrdersDatabase
from tests.lakebase_stand_in import LakebaseStandIn
from tests.orders.changing import assert_problem
from tests.stand_in import SyncedTable
from tests.stand_in.synced_tables import STATES, Progress
from tests.waiting import PATIENCE, wait_until

NAME = "main.shop.orders"
AS_OF, VERSION = "X-Data-As-Of", "X-Data-Version"
COMMITTED, SYNCED = "2026-11-26T11:58:03Z", "2026-11-26T11:58:20Z"
READS = ("/orders/1", "/orders?keys=1", "/orders/pages", "/orders/stream", "/orders/count", "/orders/sample")
EXPORTS = ("/orders/export?format=csv&o_custkey=3691", "/orders/export?format=ndjson&o_custkey=3691")


@dataclass
class Shop:
    """An app whose orders are a synced table, and the workspace that knows how fresh they are."""

    client: FlaskClient
    lakebase: LakebaseStandIn

    @property
    def watch(self) -> FreshnessWatch:
        return get_service(self.client.application).freshness

    @property
    def asked(self) -> int:
        """How often the workspace was asked how far the copy is."""
        return self.lakebase.workspace.synced_table_requests

    def be(self, **changed: Any) -> None:
        """Have the synced table be another; nobody knows yet."""
        tables = self.lakebase.workspace.synced_tables
        tables[NAME] = replace(tables[NAME], **changed)

    def pass_a_minute(self) -> None:
        """Have the workspace asked as after a minute in which the table was read."""
        self.watch.look("orders", 0)

    def get(self, path: str, version: object = None, **headers: str) -> TestResponse:
        demand = {} if version is None else {"X-Min-Data-Version": str(version)}
        return self.client.get(path, headers={**headers, **demand})

    def tell(self) -> dict[str, Any]:
        """What is told of how fresh the table is."""
        answer = self.client.get("/orders/freshness")
        assert answer.status_code == 200
        assert answer.json is not None
        shown: dict[str, Any] = answer.json
        return shown


@pytest.fixture(params=["autoscaling"])
def shop(request: pytest.FixtureRequest, lakebase: LakebaseStandIn, open_app: AppOpener) -> Iterator[Shop]:
    lakebase.workspace.synced_tables[NAME] = SyncedTable()
    app = open_app({**lakebase.environment(request.param), "SYNCED_TABLE": NAME})
    yield Shop(app.test_client(), lakebase)
    lakebase.workspace.heal()


both = pytest.mark.parametrize(
    "shop", ["autoscaling", pytest.param("provisioned", marks=pytest.mark.slow)], indirect=True
)


@pytest.mark.parametrize("shop", ["autoscaling", "provisioned"], indirect=True)
def test_it_is_told_as_the_workspace_says_it(shop: Shop) -> None:
    told = shop.tell()
    checked_at = datetime.fromisoformat(told.pop("checked_at"))
    assert abs((datetime.now(UTC) - checked_at).total_seconds()) < 60
    assert told == {
        "as_of": COMMITTED,
        "available_since": SYNCED,
        "source_version": 4711,
        "is_current": True,
        "meaning": "Nothing newer exists in the source, however old the data is.",
        "state": "ONLINE_NO_PENDING_UPDATE",
        "sync": None,
        "problem": None,
    }


@both
@pytest.mark.parametrize("state", STATES)
def test_headers_and_body_follow_every_state(shop: Shop, state: str) -> None:
    shop.get("/orders/1")
    shop.be(state=state, version=4712, committed=SYNCED)
    shop.pass_a_minute()
    told, read = shop.tell(), shop.get("/orders/1")
    assert (told["state"], told["source_version"], told["as_of"]) == (state, 4712, SYNCED)
    assert (read.headers[VERSION], read.headers[AS_OF]) == ("4712", SYNCED)


@both
def test_a_sync_that_goes_on_says_how_far_it_is(shop: Shop) -> None:
    shop.be(state="ONLINE_TRIGGERED_UPDATE", progress=Progress(version=4712))
    told = shop.tell()
    assert told["sync"] == {"done": 0.4, "rows": 600_000, "total_rows": 1_500_000, "seconds_left": 42.0}
    assert told["is_current"] is False


@both
def test_a_full_refresh_keeps_the_last_that_is_known(shop: Shop) -> None:
    shop.tell()
    shop.be(state="ONLINE_TRIGGERED_UPDATE", version=None, progress=Progress(version=4712))
    shop.pass_a_minute()
    told, read = shop.tell(), shop.get("/orders/1")
    assert (told["as_of"], told["source_version"], told["is_current"]) == (COMMITTED, 4711, False)
    assert (read.headers[VERSION], read.headers[AS_OF]) == ("4711", COMMITTED)


def test_every_read_and_export_has_the_headers_and_304_has_them_too(shop: Shop) -> None:
    shop.tell()
    for path in (*READS, *EXPORTS):
        for method in ("GET", "HEAD"):
            with shop.client.open(path, method=method) as answer:
                assert answer.status_code == 200
                assert answer.headers.getlist(VERSION) == ["4711"], path
                assert answer.headers.getlist(AS_OF) == [COMMITTED], path
    for path in ("/orders/1", "/orders/stream"):
        unchanged = shop.get(path, **{"If-None-Match": shop.get(path).headers["ETag"]})
        assert (unchanged.status_code, unchanged.headers[VERSION]) == (304, "4711")


def test_problems_and_what_is_no_read_do_not_have_them(shop: Shop) -> None:
    shop.tell()
    for path in (
        "/orders/999999999",
        "/orders/stream?page_size=0",
        "/orders/1/history",
        "/",
        "/me",
        "/audit",
    ):
        answer = shop.get(path)
        assert VERSION not in answer.headers, path
        assert AS_OF not in answer.headers, path


def test_nobody_is_asked_without_traffic_on_the_table(shop: Shop) -> None:
    for path in ("/livez", "/readyz", "/health", "/", "/openapi.json"):
        assert shop.get(path).status_code == 200
    assert shop.asked == 0
    read = shop.get("/orders/1")
    assert VERSION not in read.headers, "which waits for nobody"
    wait_until(lambda: VERSION in shop.get("/orders/1").headers)
    for _ in range(50):
        shop.get("/orders/1")
    shop.tell()
    assert shop.asked == 1


@both
@pytest.mark.parametrize(
    ("status", "says"),
    [(403, "does not let the service see"), (404, "knows no synced table"), (500, "cannot be asked")],
)
def test_a_refusal_changes_nothing_but_what_is_told(
    shop: Shop, caplog: pytest.LogCaptureFixture, status: int, says: str
) -> None:
    caplog.set_level(logging.INFO, "lakebase_api.lakebase.freshness")
    before = shop.tell()
    shop.lakebase.workspace.fail("synced_table", status)
    for _ in range(3):
        shop.pass_a_minute()
    told = shop.tell()
    assert says in told["problem"]
    assert told == {**before, "is_current": None, "problem": told["problem"], "meaning": told["problem"]}
    read = shop.get("/orders/1")
    assert (read.status_code, read.headers[VERSION]) == (200, "4711")
    assert shop.lakebase.workspace.url not in str(told)
    assert caplog.text.count("How fresh orders is cannot be told") == 1
    shop.lakebase.workspace.heal()
    shop.pass_a_minute()
    assert shop.tell()["problem"] is None


def test_a_page_to_log_in_is_a_problem_as_well(shop: Shop) -> None:
    shop.lakebase.workspace.malform("synced_table", "html")
    told = shop.tell()
    assert told["problem"]
    assert (told["as_of"], told["source_version"], told["is_current"]) == (None, None, None)
    assert shop.get("/orders/1").status_code == 200


@pytest.fixture
def endless_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of the workspace that no limit of time ends."""
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", PATIENCE)
    monkeypatch.setattr(workspace_module, "HTTP_TIMEOUT", PATIENCE)


@pytest.mark.usefixtures("endless_calls")
def test_a_workspace_that_hangs_keeps_no_read_waiting(shop: Shop) -> None:
    workspace = shop.lakebase.workspace
    shop.get("/orders/1")
    wait_until(lambda: shop.watch.recall("orders").checked_at is not None)
    workspace.hang("synced_table")
    asking = threading.Thread(target=shop.pass_a_minute)
    asking.start()
    workspace.events.wait_for("hung", 1)
    for path in READS:
        assert shop.get(path).headers[VERSION] == "4711"
    assert shop.tell()["source_version"] == 4711
    assert asking.is_alive()
    workspace.heal()
    asking.join()


def test_a_workspace_that_does_not_answer_in_time_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.get("/orders/1")
    wait_until(lambda: shop.watch.recall("orders").checked_at is not None)
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 0.1)
    shop.lakebase.workspace.hang("synced_table")
    shop.pass_a_minute()
    assert "does not answer in time" in shop.tell()["problem"]
    assert shop.get("/orders/1").headers[VERSION] == "4711"


def test_a_demand_is_met_by_this_version_and_earlier_ones(shop: Shop) -> None:
    for version in (0, 4710, 4711):
        for path in (*READS, *EXPORTS):
            with shop.get(path, version) as answer:
                assert (answer.status_code, answer.headers[VERSION]) == (200, "4711"), path
    assert shop.asked == 1


def test_a_job_that_waits_gets_its_data_as_soon_as_the_sync_has_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakebase_api.http.freshness.SHORTEST_INTERVAL", 0.0)
    shop.be(state="ONLINE_TRIGGERED_UPDATE", progress=Progress(version=4712))
    for path in (*READS, *EXPORTS):
        refused = shop.get(path, 4712)
        body = assert_problem(refused, 503, "not-yet-synced")
        assert "orders has version 4711 of its source, not 4712" in body["detail"]
        assert 42 <= int(refused.headers["Retry-After"]) <= 53
        assert VERSION not in refused.headers
    shop.be(state="ONLINE_NO_PENDING_UPDATE", version=4712, progress=None)
    answer = shop.get("/orders/1", 4712)
    assert (answer.status_code, answer.headers[VERSION]) == (200, "4712")


@pytest.mark.parametrize(
    ("seconds_left", "least", "most"),
    [(0.0, 1, 2), (7.5, 8, 10), (60.0, 60, 60), (86_400.0, 60, 60), (None, 5, 7)],
)
def test_the_wait_is_the_rest_of_the_sync_within_a_minute(
    shop: Shop, seconds_left: float | None, least: int, most: int
) -> None:
    progress = Progress(version=4712, seconds_left=seconds_left)
    shop.be(state="ONLINE_TRIGGERED_UPDATE", progress=progress)
    assert least <= int(shop.get("/orders/1", 4712).headers["Retry-After"]) <= most


def test_many_demands_ask_the_workspace_once_in_some_seconds(shop: Shop) -> None:
    for _ in range(20):
        assert shop.get("/orders/1", 4712).status_code == 503
    assert shop.asked == 1


def test_a_demand_is_not_met_where_no_version_is_known_and_says_why(shop: Shop) -> None:
    shop.lakebase.workspace.fail("synced_table", 403)
    refused = shop.get("/orders/1", 0)
    body = assert_problem(refused, 503, "not-yet-synced")
    assert "is not known. The workspace does not let the service see" in body["detail"]
    assert 5 <= int(refused.headers["Retry-After"]) <= 7


@pytest.mark.parametrize("version", ["", "-1", "1.5", "4711a", " ", "٣", "9" * 20, str(2**63), "1,2"])
def test_a_demand_that_is_no_version_is_told_so(shop: Shop, version: str) -> None:
    for path in ("/orders/1", EXPORTS[0]):
        body = assert_problem(
            shop.client.get(path, environ_overrides={"HTTP_X_MIN_DATA_VERSION": version}),
            422,
            "invalid-request",
        )
        assert body["errors"][0]["in"] == "header"
        assert body["errors"][0]["name"] == "X-Min-Data-Version"


def test_a_table_that_is_no_copy_has_no_version_to_ask_for(reader: FlaskClient) -> None:
    for path in (*READS, *EXPORTS):
        refused = reader.get(path, headers={"X-Min-Data-Version": "1"})
        assert "not declared as a synced table" in assert_problem(refused, 422, "invalid-request")["detail"]
        with reader.get(path) as answer:
            assert answer.status_code == 200
            assert VERSION not in answer.headers
    assert reader.get("/orders/freshness").status_code == 422, "which is no key"


def test_a_count_of_before_does_not_claim_a_version_that_came_since(shop: Shop) -> None:
    assert shop.get("/orders/count").status_code == 200
    now = datetime.now(UTC).isoformat()
    shop.be(version=4712, committed=now, synced="2100-01-01T00:00:00Z")
    shop.pass_a_minute()
    assert VERSION not in shop.get("/orders/count").headers
    assert shop.get("/orders/1").headers[VERSION] == "4712"
    refused = shop.get("/orders/count", 4712)
    assert "were last counted before it was" in assert_problem(refused, 503, "not-yet-synced")["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_a_count_of_a_moment_before_does_not_claim_it_either(shop: Shop) -> None:
    assert shop.get("/orders/count").status_code == 200
    now = datetime.now(UTC).isoformat()
    shop.be(version=4712, committed=now, synced=now)
    shop.pass_a_minute()
    assert VERSION not in shop.get("/orders/count").headers


def test_an_export_names_the_version_at_its_begin_and_end(shop: Shop) -> None:
    shop.tell()
    with shop.client.get("/orders/export?format=ndjson") as answer:
        assert answer.headers[VERSION] == "4711"
        shop.be(version=4712)
        shop.pass_a_minute()
        last = answer.data.splitlines()[-1]
    assert json.loads(last) == {"next_cursor": None, "data_version": 4712}
    audit = get_service(shop.client.application).audit
    audit.write()
    recorded = shop.client.get("/audit?action=export&fields=id,detail").json
    assert recorded is not None
    assert recorded["audit"][0]["detail"]["data_versions"] == [4711, 4712]


def test_an_export_of_what_has_no_version_is_as_ever(shop: Shop, reader: FlaskClient) -> None:
    with reader.get("/orders/export?format=ndjson&o_custkey=3691") as answer:
        assert answer.data.splitlines()[-1] == b'{"next_cursor":null}'
    shop.lakebase.workspace.fail("synced_table", 500)
    for path, last in zip(EXPORTS, (None, b'{"next_cursor":null}'), strict=True):
        with shop.get(path) as answer:
            assert VERSION not in answer.headers
            assert last in (None, answer.data.splitlines()[-1])


def test_without_a_workspace_it_is_not_known(unchanged_database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**unchanged_database.environment, "SYNCED_TABLE": NAME}).test_client()
    told = client.get("/orders/freshness").json
    assert told is not None
    assert "no workspace" in told["problem"]
    assert {told[name] for name in ("as_of", "source_version", "is_current", "state", "sync")} == {None}
    assert VERSION not in client.get("/orders/1").headers
    refused = client.get("/orders/1", headers={"X-Min-Data-Version": "1"})
    assert "no workspace" in assert_problem(refused, 503, "not-yet-synced")["detail"]


def test_it_takes_no_parameters_and_no_other_method(shop: Shop) -> None:
    assert_problem(shop.get("/orders/freshness?a=1"), 422, "invalid-request")
    assert shop.client.post("/orders/freshness").status_code == 405


def test_the_document_has_it_where_it_is_and_pages_may_read_it(
    shop: Shop, reader: FlaskClient, open_app: AppOpener
) -> None:
    document, without = shop.get("/openapi.json").json, reader.get("/openapi.json").json
    assert document is not None
    assert without is not None
    assert "/orders/freshness" not in without["paths"]
    assert VERSION not in json.dumps(without["paths"])
    told = document["paths"]["/orders/freshness"]["get"]
    assert (told["operationId"], told["security"]) == (
        "get_orders_freshness",
        [{"bearer": ["orders:read"]}, {}],
    )
    for path in ("/orders", "/orders/{order_key}", "/orders/pages", "/orders/count", "/orders/export"):
        operation = document["paths"][path]["get"]
        assert {AS_OF, VERSION} <= set(operation["responses"]["200"]["headers"])
        assert "X-Min-Data-Version" in [each.get("name") for each in operation["parameters"]]
    client = open_app(
        {**shop.lakebase.environment(), "SYNCED_TABLE": NAME, "CORS_ORIGINS": "https://a.example"}
    ).test_client()
    exposed = client.get("/orders/1", headers={"Origin": "https://a.example"}).headers[
        "Access-Control-Expose-Headers"
    ]
    assert {AS_OF, VERSION} <= set(exposed.split(", "))
