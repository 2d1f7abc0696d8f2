"""What is counted in files of workers, and how it is told."""

import logging
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakebase_api.telemetry import families
from lakebase_api.telemetry.exposition import Exposition
from lakebase_api.telemetry.families import FAMILIES, Kind
from lakebase_api.telemetry.gauges import Gauges
from lakebase_api.telemetry.metric_file import CHUNK
from lakebase_api.telemetry.metrics import Metrics
from lakebase_api.telemetry.observation import ExportObservation, Route
from lakebase_api.telemetry.peers import State
from lakebase_api.telemetry.wakes import Wakes
from tests.telemetry.observations import ROUTE, observe
from tests.telemetry.scrape import Scrape

DURATION = "http_server_request_duration_seconds"
ORDER = {"http_request_method": "GET", "http_route": ROUTE.path, "http_response_status_code": 200}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def start_worker(folder: Path, number: int) -> Metrics:
    metrics = Metrics()
    metrics.open(folder, number)
    return metrics


def answer(metrics: Metrics, **observed: object) -> None:
    metrics.begin()
    metrics.observe(observe(**observed))


def scrape(folder: Path, *states: State) -> Scrape:
    return Scrape(Exposition(lambda: folder, lambda: states).write().decode())


def test_a_histogram_has_each_request_in_its_bucket(folder: Path) -> None:
    metrics = start_worker(folder, 0)
    for seconds in (0.001, 0.005, 0.006, 9.0, 100.0):
        answer(metrics, seconds=seconds)
    told = scrape(folder)
    buckets = told.buckets(DURATION, **ORDER)
    assert list(buckets) == [*families.REQUEST_SECONDS, float("inf")]
    assert list(buckets.values()) == [2, *[3] * 12, 4, 5]
    assert told.value(f"{DURATION}_count", **ORDER) == 5
    assert told.value(f"{DURATION}_sum", **ORDER) == pytest.approx(109.012)


def test_workers_are_summed_and_one_that_takes_the_place_of_another_goes_on(folder: Path) -> None:
    for number in (0, 1, 1, 1):
        # It is not closed, as one that is killed is not.
        answer(start_worker(folder, number))
    assert scrape(folder).value(f"{DURATION}_count", **ORDER) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["worker-0.metrics", "worker-1.metrics"]


def test_all_that_is_counted_once_is_there_from_the_start_at_0(folder: Path) -> None:
    start_worker(folder, 0)
    told = scrape(folder)
    for name in ("lakebase_wakes_total", "lakebase_retries_total", "db_client_connection_timeouts_total"):
        assert told.value(name) == 0
    assert told.value("lakebase_token_refreshes_total", result="failure") == 0
    assert told.value("db_client_connection_wait_time_seconds_count") == 0


def test_problems_and_exports_are_counted_by_their_kind(folder: Path) -> None:
    metrics = start_worker(folder, 0)
    answer(metrics, status=404, problem="not-found")
    for outcome, rows in (("complete", 1000), ("complete", 10), ("a fault", 3)):
        metrics.observe_export(ExportObservation(ROUTE, "key:ann", outcome, rows, 1 << 20, 1.0, "one"))
    told = scrape(folder)
    assert told.value("requests_rejected_total", problem="not-found") == 1
    assert told.value("exports_total", table="orders", outcome="complete") == 2
    assert told.value("exports_total", table="orders", outcome="a fault") == 1
    assert told.value("export_rows_total", table="orders") == 1013


def test_neither_callers_nor_request_ids_are_told(folder: Path) -> None:
    metrics = start_worker(folder, 0)
    answer(metrics, subject="key:somebody", request_id="the-id", problem="conflict")
    text = Exposition(lambda: folder, list).write().decode()
    assert "somebody" not in text
    assert "the-id" not in text


def test_labels_may_have_any_character(folder: Path) -> None:
    odd = 'a"b\\c\nd%s{}é'
    answer(start_worker(folder, 0), route=Route(odd, odd, None))
    told = scrape(folder)
    assert told.value(f"{DURATION}_count", http_route=odd) == 1
    assert told.value("db_client_operation_duration_seconds_count", db_operation_name=odd) == 1


def test_gauges_are_what_workers_say_when_asked_and_of_no_other(folder: Path) -> None:
    start_worker(folder, 2)  # is gone
    gauges = Gauges()
    gauges.register(families.CONNECTIONS, lambda: {("idle",): 3, ("used",): 1})
    gauges.register(families.TOKEN_EXPIRES, lambda: {(): 1200.0})
    first = {"gauges": gauges.read()}
    second = {"gauges": [["db_client_connection_count", "idle", 2], ["lakebase_token_expires_seconds", 60.5]]}
    told = scrape(folder, first, second, {"silent": True})
    assert told.value("db_client_connection_count", state="idle") == 5
    assert told.value("db_client_connection_count", state="used") == 1
    assert told.value("lakebase_token_expires_seconds") == 60.5
    assert told.value("workers", state="answering") == 2
    assert told.value("workers", state="silent") == 1


def test_each_family_has_its_type_and_a_name_as_prometheus_wants_it() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert (family.kind is Kind.COUNTER) is family.name.endswith("_total"), family.name
        assert (family.kind is Kind.HISTOGRAM) is bool(family.bounds), family.name
        assert list(family.bounds) == sorted(set(family.bounds))


def test_threads_lose_no_count(folder: Path) -> None:
    metrics = start_worker(folder, 0)

    def work() -> None:
        for _ in range(2000):
            answer(metrics, held=0.01)
            metrics.note_use(0.01, 0.01)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = scrape(folder)
    for name in (DURATION, "db_client_operation_duration_seconds", "db_client_connection_use_time_seconds"):
        assert told.sum(f"{name}_count") == 16_000
    assert metrics.active == 0


def test_a_file_grows_with_what_there_is_to_count(folder: Path) -> None:
    metrics = start_worker(folder, 0)
    for number in range(500):
        answer(metrics, route=Route(f"/table{number}", f"list{number}", None))
    answer(metrics, route=Route("/table0", "list0", None))
    told = scrape(folder)
    assert told.value(f"{DURATION}_count", http_route="/table0") == 2
    assert told.sum(f"{DURATION}_count") == 501
    answer(start_worker(folder, 0), route=Route("/table499", "list499", None))
    assert scrape(folder).value(f"{DURATION}_count", http_route="/table499") == 2


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Let no file be greater than so many bytes, as if memory had no room left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_without_room_what_is_new_is_not_counted_and_what_is_known_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = start_worker(folder, 0)
    answer(metrics)
    with no_room((folder / "worker-0.metrics").stat().st_size):
        for number in range(500):
            answer(metrics, route=Route(f"/table{number}", f"list{number}", None))
        answer(metrics)
    told = scrape(folder)
    assert told.value(f"{DURATION}_count", **ORDER) == 2
    assert told.find(f"{DURATION}_count", http_route="/table0")
    assert not told.find(f"{DURATION}_count", http_route="/table499")
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "no room" in record.getMessage()


def test_a_record_that_was_not_finished_is_not_read_and_makes_room_for_the_next(folder: Path) -> None:
    answer(start_worker(folder, 0))
    before = scrape(folder).samples
    path = folder / "worker-0.metrics"
    with path.open("r+b") as file:
        whole = file.read().rstrip(b"\0")
        file.seek(-(-len(whole) // 8) * 8)
        file.write(b"\xff" * 400)
    assert scrape(folder).samples == before
    answer(start_worker(folder, 0), status=500)
    told = scrape(folder)
    assert told.value(f"{DURATION}_count", **{**ORDER, "http_response_status_code": 500}) == 1
    assert told.value(f"{DURATION}_count", **ORDER) == 1


@pytest.mark.parametrize("size", [0, CHUNK])
def test_a_file_whose_worker_was_killed_at_once_is_as_good_as_new(folder: Path, size: int) -> None:
    (folder / "worker-0.metrics").write_bytes(bytes(size))
    assert not scrape(folder).find(f"{DURATION}_count")
    answer(start_worker(folder, 0))
    assert scrape(folder).value(f"{DURATION}_count", **ORDER) == 1


def test_a_wake_that_several_workers_notice_is_one(folder: Path) -> None:
    workers = [start_worker(folder, number) for number in range(3)]
    for began, ended, worker in ((10.0, 14.0, 0), (10.5, 14.2, 1), (13.9, 14.1, 2), (20.0, 21.5, 1)):
        workers[worker].note_wake(began, ended)
    told = scrape(folder)
    assert told.value("lakebase_wakes_total") == 2
    assert told.value("lakebase_wake_duration_seconds_sum") == 5.5


def test_the_last_wake_is_known_to_processes_to_come(folder: Path) -> None:
    assert Wakes(folder).is_first(1.0, 2.0)
    assert not Wakes(folder).is_first(1.5, 3.0)
    assert Wakes(folder).is_first(3.5, 4.0)


def test_what_is_told_before_it_is_open_and_after_it_was_closed_is_not_counted(folder: Path) -> None:
    metrics = Metrics()
    answer(metrics)
    metrics.open(folder, 0)
    answer(metrics)
    metrics.close()
    answer(metrics)
    metrics.note_wake(1.0, 2.0)
    assert scrape(folder).value(f"{DURATION}_count", **ORDER) == 1
