"""What connecting in vain tells, by what PostgreSQL and libpq really answer."""

import logging
import time

import psycopg
import pytest

from lakebase_api.environment import load_settings
from lakebase_api.lakebase.connection import SLOW_CONNECT, ConnectLog
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import classify
from lakebase_api.lakebase.meter import NoMeter
from lakebase_api.lakebase.pool import Pool
from lakebase_api.lakebase.target import Target
from tests.conftest import OrdersDatabase

LOGIN = {"PGUSER", "DATABRICKS_CLIENT_ID", "PGPASSWORD"}


@pytest.mark.parametrize(
    ("wrong", "said", "settings"),
    [
        ({"PGHOST": "127.0.0.1", "PGPORT": "1"}, "refused the connection", {"PGHOST", "PGPORT"}),
        ({"PGHOST": "127.0.0.1", "PGSSLMODE": "require"}, "TLS", {"TLS"}),
        ({"PGHOST": "/no/such/folder"}, "failed", {"PGHOST", "PGPORT"}),
        ({"PGDATABASE": "elsewhere"}, "does not exist", {"PGDATABASE"}),
        ({"PGUSER": "nobody"}, "login was refused", LOGIN),
        ({"PGPASSWORD": "another"}, "login was refused", LOGIN),
    ],
    ids=["port", "TLS", "socket", "database", "role", "password"],
)
def test_the_reason_names_the_settings_that_may_mend_it(
    unchanged_database: OrdersDatabase, wrong: dict[str, str], said: str, settings: set[str]
) -> None:
    target = Target(load_settings({**unchanged_database.environment, **wrong}))
    with pytest.raises(psycopg.Error) as caught:
        psycopg.connect(**target.connect_arguments())
    failure = classify(caught.value)
    assert said in failure.said
    assert {word.strip(".,") for word in failure.mend.split() if word.strip(".,").isupper()} == settings


def test_the_log_says_once_what_happened_and_what_may_mend_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    connects = ConnectLog()
    for _ in range(3):
        connects.note_failure(CredentialError("the workspace is away"), time.monotonic())
    connects.note_success(0.0)
    assert caplog.messages == [
        "Connecting failed: the workspace is away. See DATABRICKS_HOST and what the app may do there. "
        "Trying again until it succeeds.",
        "Connected again",
    ]


class Recorder(NoMeter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.connects: list[float] = []
        self.wakes: list[float] = []

    def note_connect(self, seconds: float) -> None:
        self.connects.append(seconds)

    def note_wake(self, began: float, ended: float) -> None:
        self.wakes.append(ended - began)


def test_a_wake_lasts_from_the_first_attempt_that_failed_to_one_that_succeeded() -> None:
    meter = Recorder()
    connects = ConnectLog(meter)
    for seconds_ago in (7.0, 3.0):
        connects.note_failure(CredentialError("away"), time.monotonic() - seconds_ago)
    connects.note_success(0.1)
    connects.note_success(0.1)
    assert meter.wakes == [pytest.approx(7.0, abs=0.5)]
    assert meter.connects == [0.1, 0.1]


def test_a_connect_that_takes_long_waited_for_a_wake_unless_another_was_quick_meanwhile() -> None:
    meter = Recorder()
    connects = ConnectLog(meter)
    connects.note_success(SLOW_CONNECT + 0.5)
    # Began at the same time.
    connects.note_success(SLOW_CONNECT + 0.4)
    connects.note_success(0.0)
    assert meter.wakes == [pytest.approx(SLOW_CONNECT + 0.5, abs=0.1)]


def test_when_connections_that_there_are_serve_again_nothing_slept(
    unchanged_database: OrdersDatabase,
) -> None:
    settings = load_settings(unchanged_database.environment)
    meter = Recorder()
    pool = Pool(settings, Target(settings), lambda connection: None, meter)
    pool.connects.note_failure(CredentialError("no more connections"), time.monotonic())
    pool.note_success()
    pool.connects.note_success(0.1)
    assert meter.wakes == []


def test_an_attempt_that_fails_after_a_later_one_succeeded_is_no_outage() -> None:
    connects = ConnectLog()
    began = time.monotonic()
    connects.note_success(0.0)
    connects.note_failure(CredentialError("too late"), began)
    assert (connects.error, connects.failing_since) == (None, None)
    connects.note_failure(CredentialError("the workspace is away"), time.monotonic())
    assert connects.failing_since
