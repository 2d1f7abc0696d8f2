"""What is known of synced tables: when the workspace is asked, by whom, and what a failure changes."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakebase_api.lakebase.copy_status import CopyStatus
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.freshness import INTERVAL, SHORTEST_INTERVAL, FreshnessWatch
from tests.waiting import PATIENCE, wait_until

CURRENT, BEHIND = "ONLINE_NO_PENDING_UPDATE", "ONLINE_TRIGGERED_UPDATE"
AS_OF = datetime(2026, 11, 26, 11, 58, 3, tzinfo=UTC)
FOUND = CopyStatus(CURRENT, AS_OF, AS_OF, 4711)
REFUSED = "the synced table main.shop.orders: PermissionDenied: no"


@dataclass
class Shop:
    """A workspace whose answers and time are made up, and workers that ask it."""

    folder: Path
    now: float = 1000.0
    status: CopyStatus = FOUND
    refusal: str = ""
    asked: list[str] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def ask(self, name: str) -> CopyStatus:
        self.asked.append(name)
        if self.refusal:
            raise CredentialError(self.refusal)
        return self.status

    def build_worker(self, late_after: float | None = None) -> FreshnessWatch:
        """One that is not opened, and so watches nothing by itself."""
        names = {"orders": "main.shop.orders", "lineitems": "main.shop.lineitems"}
        return FreshnessWatch(names, self.ask, late_after, lambda: self.now)

    def open_worker(self, late_after: float | None = None) -> FreshnessWatch:
        worker = self.build_worker(late_after)
        worker.open(self.folder)
        self.stack.callback(worker.close)
        return worker


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    with shop.stack:
        yield shop


def test_nobody_is_asked_before_a_table_is_read_and_then_only_of_that_one(shop: Shop) -> None:
    worker = shop.open_worker()
    assert worker.list_known()["orders"].problem == "The workspace has not been asked yet."
    assert worker.find("orders").copy.source_version is None
    wait_until(lambda: worker.recall("orders").copy.source_version == 4711)
    assert shop.asked == ["main.shop.orders"]
    assert worker.recall("lineitems").copy.source_version is None


def test_reads_have_the_workspace_asked_once_a_minute_and_silence_does_not(shop: Shop) -> None:
    worker = shop.open_worker()
    worker.look("orders")
    for minute in range(1, 4):
        shop.now += INTERVAL - 1
        for _ in range(100):
            assert worker.find("orders").copy.source_version == 4711
        assert len(shop.asked) == minute
        shop.now += 1
        worker.find("orders")
        wait_until(lambda: worker.recall("orders").asked_at == shop.now)
    shop.now += 100 * INTERVAL
    worker.list_known()
    assert len(shop.asked) == 4


def test_one_worker_asks_and_the_others_read_what_it_found(shop: Shop) -> None:
    first, second = shop.open_worker(), shop.open_worker()
    first.look("orders")
    assert second.look("orders") == first.recall("orders")
    assert second.list_known() == first.list_known()
    assert len(shop.asked) == 1


def test_who_comes_while_another_worker_asks_does_not_wait(shop: Shop) -> None:
    begun, end = threading.Event(), threading.Event()

    def ask(name: str) -> CopyStatus:
        begun.set()
        assert end.wait(PATIENCE)
        return shop.status

    slow = FreshnessWatch({"orders": "main.shop.orders"}, ask, None, lambda: shop.now)
    slow.open(shop.folder)
    asking = threading.Thread(target=slow.look, args=("orders",))
    asking.start()
    assert begun.wait(PATIENCE)
    assert slow.look("orders").copy.source_version is None
    assert shop.open_worker().look("orders").copy.source_version is None
    end.set()
    asking.join()
    assert slow.look("orders").copy.source_version == 4711
    assert not shop.asked


def test_a_worker_that_takes_the_place_of_another_knows_what_that_knew(shop: Shop) -> None:
    shop.open_worker().look("orders")
    shop.status = CopyStatus(BEHIND)
    shop.now += INTERVAL
    assert shop.open_worker().look("orders").copy == CopyStatus(BEHIND, AS_OF, AS_OF, 4711)


def test_a_full_refresh_has_no_last_sync_and_the_last_known_is_kept(shop: Shop) -> None:
    worker = shop.open_worker()
    worker.look("orders")
    for status in (CopyStatus(BEHIND), CopyStatus(BEHIND, source_version=4720)):
        shop.status = status
        known = worker.look("orders", 0)
        assert (known.copy.as_of, known.copy.source_version) == (AS_OF, 4711)
        assert known.is_current is False
    shop.status = CopyStatus(CURRENT, AS_OF + timedelta(hours=1), AS_OF, 3)
    assert worker.look("orders", 0).copy == shop.status, "a source that was made anew begins anew"


def test_a_version_whose_time_is_not_known_is_kept_as_well(shop: Shop) -> None:
    worker = shop.open_worker()
    shop.status = CopyStatus(CURRENT, source_version=4711)
    worker.look("orders")
    shop.status = CopyStatus(BEHIND)
    assert worker.look("orders", 0).copy.source_version == 4711


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (REFUSED, "does not let the service see"),
        ("x: NotFound: no", "knows no synced table"),
        ("x: no answer within 3.5 s", "does not answer in time"),
        ("x: 4 calls before this one have not ended", "does not answer in time"),
        ("x: InternalError: oops", "cannot be asked at present"),
        ("x: ValueError: the answer cannot be read: TypeError: y", "not understood"),
    ],
)
def test_a_failure_says_why_and_keeps_what_is_known(shop: Shop, said: str, problem: str) -> None:
    worker = shop.open_worker()
    checked_at = worker.look("orders").checked_at
    shop.refusal = said
    known = worker.look("orders", 0)
    assert problem in (known.problem or "")
    assert known.copy == shop.status
    assert known.checked_at == checked_at
    assert known.is_current is None, "which may have changed since"
    assert "main.shop.orders" not in known.meaning


def test_the_log_tells_each_change_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second = shop.open_worker(), shop.open_worker()
    first.look("orders", 0)
    assert caplog.messages == []
    for refusal in (REFUSED, "x: NotFound: no", ""):
        shop.refusal = refusal
        for worker in (first, second, first):
            worker.look("orders", 0)
    assert caplog.messages == [
        f"How fresh orders is cannot be told: {REFUSED}",
        "How fresh orders is cannot be told: x: NotFound: no",
        "How fresh orders is can be told again",
    ]


@pytest.mark.parametrize(
    ("state", "age", "is_told"), [(BEHIND, 120, True), (BEHIND, 50, False), (CURRENT, 10_000, False)]
)
def test_data_that_is_late_is_warned_of_once_and_old_data_that_is_current_never(
    shop: Shop, caplog: pytest.LogCaptureFixture, state: str, age: float, is_told: bool
) -> None:
    caplog.set_level(logging.INFO)
    worker = shop.open_worker(late_after=100)
    as_of = datetime.now(UTC) - timedelta(seconds=age)
    shop.status = CopyStatus(state, as_of, as_of, 4711)
    for refusal in ("", REFUSED, ""):
        shop.refusal = refusal
        worker.look("orders", 0)
    late = [message for message in caplog.messages if message.startswith("The data of orders is of ")]
    assert len(late) == is_told
    shop.status = CopyStatus(CURRENT, as_of, as_of, 4711)
    worker.look("orders", 0)
    assert ("not late any more" in caplog.text) is is_told


def test_without_a_workspace_nothing_is_known_and_it_says_so(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    watch = FreshnessWatch({"orders": "main.shop.orders"}, None)
    watch.open(tmp_path)
    for known in (watch.find("orders"), watch.look("orders", 0), watch.list_known()["orders"]):
        assert "no workspace" in (known.problem or "")
    assert set(threading.enumerate()) <= threads


def test_a_folder_that_is_gone_keeps_nobody_from_asking(shop: Shop) -> None:
    shop.folder = shop.folder / "gone"
    worker = shop.open_worker()
    assert worker.look("orders").copy.source_version == 4711


def test_a_demand_asks_every_few_seconds_at_most(shop: Shop) -> None:
    worker = shop.open_worker()
    for _ in range(10):
        worker.look("orders", SHORTEST_INTERVAL)
    assert len(shop.asked) == 1
    shop.now += SHORTEST_INTERVAL
    worker.look("orders", SHORTEST_INTERVAL)
    assert len(shop.asked) == 2
