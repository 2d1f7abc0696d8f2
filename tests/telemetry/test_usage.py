"""What is counted of requests: when it is written, what is kept of it, and how much that may be."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from lakebase_api.app import get_service
from lakebase_api.lakebase.database import OutcomeUnknown
from lakebase_api.lakebase.setup_faults import NotSetUp
from lakebase_api.sql.usage_table import HOUR, UsageRow, UsageTable
from lakebase_api.telemetry.observation import ExportObservation, Route
from lakebase_api.telemetry.tallies import MOST_TALLIES, OTHER
from lakebase_api.telemetry.usage import Usage, UsageStore
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import read
from tests.telemetry.observations import ROUTE, observe


class Counted:
    """Usage whose time and database are made up."""

    def __init__(self) -> None:
        self.now = self.used = 1000.0 * HOUR
        self.fault: Exception | None = None
        self.tries = 0
        self.rows: list[UsageRow] = []
        self.usage = Usage(self._store, lambda: self.used, lambda: self.now, lambda: self.now)

    def _store(self, rows: Sequence[UsageRow], time_limit: float) -> None:
        self.tries += 1
        if self.fault:
            raise self.fault
        self.rows += rows

    def ask(self, subject: str = "ada", *, uses_database: bool = True) -> "Counted":
        """One request."""
        if uses_database:
            self.used = self.now
        self.usage.observe(observe(subject=subject))
        return self

    def pass_time(self, seconds: float) -> "Counted":
        """Let time pass, in which it is looked every two seconds what is due."""
        for _ in range(round(seconds / 2)):
            self.now += 2
            self.usage.write()
        return self

    @property
    def requests(self) -> int:
        """How many were written."""
        return sum(row.requests for row in self.rows)


@pytest.fixture
def counted() -> Counted:
    """Usage of nothing yet."""
    return Counted()


def test_all_of_a_minute_is_written_at_once(counted: Counted) -> None:
    for subject in ("ada", "ben"):
        counted.usage.observe(observe(subject=subject, rows=3, size=70, seconds=0.5, cost=1.25))
        counted.usage.observe(observe(subject=subject, status=404, rows=0, size=5, seconds=0.25, cost=1.0))
    counted.pass_time(60)
    assert counted.tries == 1
    hour = 1000
    assert set(counted.rows) == {
        UsageRow(hour, subject, "GET", ROUTE.path, "orders", status_class, *figures)
        for subject in ("ada", "ben")
        for status_class, figures in ((2, (1, 3, 70, 0.5, 1.25)), (4, (1, 0, 5, 0.25, 1.0)))
    }


def test_under_traffic_it_is_written_once_a_minute(counted: Counted) -> None:
    for _ in range(90):
        counted.ask().pass_time(2)
    assert (counted.tries, counted.requests) == (3, 90)


def test_workers_of_a_host_write_in_the_same_seconds() -> None:
    workers = [Counted(), Counted()]
    workers[1].now += 31
    for worker in workers:
        while not worker.rows:
            worker.ask().pass_time(2)
    assert abs(workers[0].now - workers[1].now) <= 2


@pytest.mark.parametrize("last", [0, 2, 30, 58])
def test_what_follows_the_last_write_is_written_once_more_and_then_the_database_is_left_alone(
    counted: Counted, last: int
) -> None:
    counted.ask().pass_time(60 + last)
    counted.ask().pass_time(70)
    assert (counted.tries, counted.requests) == (2, 2)
    for _ in range(20):
        counted.ask(uses_database=False).pass_time(60)
    assert counted.tries == 2
    counted.ask().pass_time(60)
    assert (counted.tries, counted.requests) == (3, 23)


def test_without_requests_there_is_nothing_to_write(counted: Counted) -> None:
    counted.used = counted.now
    counted.pass_time(200)
    counted.usage.close()
    assert counted.tries == 0


def test_what_cannot_be_written_is_kept_and_written_with_what_follows(counted: Counted) -> None:
    counted.fault = psycopg.OperationalError("away")
    counted.ask().pass_time(60)
    assert counted.usage.is_failing
    counted.fault = None
    for _ in range(30):
        counted.ask().pass_time(2)
    assert counted.tries == 1
    counted.ask().pass_time(2)
    assert not counted.usage.is_failing
    assert (counted.tries, len(counted.rows), counted.requests) == (2, 1, 32)


def test_what_may_have_been_written_is_not_written_again(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    counted.fault = OutcomeUnknown()
    counted.ask().pass_time(60)
    counted.fault = None
    counted.ask().pass_time(60)
    assert counted.requests == 1
    assert "connection was lost" in caplog.text


def test_where_it_may_not_be_written_it_is_rarely_tried_and_24_hours_are_kept(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    counted.fault = NotSetUp(())
    for _ in range(60):
        counted.ask().pass_time(60)
    assert counted.tries <= 7
    assert len(caplog.records) == 1
    for _ in range(30):
        counted.now += HOUR
        counted.ask()
    assert [row.hour for row in counted.usage.list_unwritten()] == list(range(1008, 1032))


def test_a_flood_of_subjects_is_counted_within_bounds(counted: Counted) -> None:
    for number in range(MOST_TALLIES + 500):
        counted.ask(f"subject {number}")
    assert len(counted.usage.list_unwritten()) == MOST_TALLIES + 1
    counted.pass_time(60)
    # What is written is forgotten with its hour: it bounds the table, too.
    counted.ask("one more").pass_time(60)
    rows = counted.rows
    assert len({row.subject for row in rows}) == MOST_TALLIES + 1
    assert sum(row.requests for row in rows if row.subject == OTHER) == 501
    counted.now += HOUR
    counted.ask("one more").pass_time(60)
    assert counted.rows[-1].subject == "one more"


def test_a_request_that_is_answered_in_the_next_hour_is_of_that_hour(counted: Counted) -> None:
    counted.ask()
    counted.now += HOUR
    counted.ask().pass_time(60)
    assert [(row.hour, row.requests) for row in counted.rows] == [(1000, 1), (1001, 1)]


def test_an_export_adds_what_was_sent_to_its_request(counted: Counted) -> None:
    counted.usage.observe(observe(rows=0, size=0, seconds=0.5))
    ended = ExportObservation(ROUTE, "key:ann", "complete", 500, 9000, 4.0, "one", 3.5, 5.0)
    counted.usage.observe_export(ended)
    [row] = counted.usage.list_unwritten()
    assert (row.requests, row.rows, row.bytes, row.seconds, row.cost) == (1, 500, 9000, 4.0, 6.0)


def test_what_takes_no_quota_is_not_counted(counted: Counted) -> None:
    counted.usage.observe(observe(route=Route("/livez", "get_liveness", None, is_free=True)))
    assert counted.usage.list_unwritten() == []


def test_the_busiest_callers_of_the_hour_are_known_whether_that_is_written_or_not(counted: Counted) -> None:
    for subject, times in (("ada", 2), ("ben", 5), ("cy", 1)):
        for _ in range(times):
            counted.ask(subject)
    counted.pass_time(60).ask("ada")
    top = counted.usage.top_callers(2)
    assert [caller[:3] for caller in top] == [("ben", 5, 5), ("ada", 3, 3)]
    assert top[0].seconds == pytest.approx(0.02)
    counted.now += HOUR
    assert counted.usage.top_callers(2) == []


def test_writing_is_no_use_of_the_database_and_an_idle_one_is_asked_for_nothing(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    app = open_app(database.environment)
    read(app.test_client(), "/orders/7")
    service = get_service(app)
    pool, later = service.lakebase.pool, 0.0
    used = pool.asked_at
    service.usage.close()
    store = UsageStore(service.lakebase.database, service.settings.status_schema)
    usage = Usage(store.add, lambda: pool.asked_at, lambda: time.monotonic() + later)
    usage.observe(observe())
    later = 60.0
    usage.write()
    written = "SELECT requests FROM lakebase_api.usage WHERE subject = 'key:ann'"
    assert database.execute(written) == [(1,)]
    assert pool.asked_at == used
    sessions = (
        "SELECT pid, query_start FROM pg_stat_activity"
        f" WHERE datname = current_database() AND usename = '{ROLE}' ORDER BY pid"
    )
    usage.observe(observe())
    before, later = database.execute(sessions), 135.0
    usage.write()
    usage.close()
    assert database.execute(sessions) == before != []
    assert database.execute(written) == [(1,)]


def test_workers_that_write_the_same_rows_in_other_orders_never_wait_for_each_other_in_turn(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    read(open_app(database.environment).test_client(), "/orders/7")
    rows = [
        UsageRow(1000, f"subject {number}", "GET", "/orders", "orders", 2, 1, 0, 0, 0.0, 0.0)
        for number in range(300)
    ]

    def write(order: Sequence[UsageRow]) -> None:
        with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as connection:
            for _ in range(30):
                UsageTable(connection, "lakebase_api").add(order)

    with ThreadPoolExecutor() as threads:
        list(threads.map(write, (rows, rows[::-1], rows)))
    written = "SELECT DISTINCT requests FROM lakebase_api.usage WHERE subject LIKE 'subject %'"
    assert database.execute(written) == [(90,)]
