"""What connecting in vain tells, by what PostgreSQL and libpq really answer."""

import logging
import time

import psycopg
import pytest

from lakebase_api.environment import load_settings
from lakebase_api.lakebase.connection import ConnectLog
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import classify
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


def test_an_attempt_that_fails_after_a_later_one_succeeded_is_no_outage() -> None:
    connects = ConnectLog()
    began = time.monotonic()
    connects.note_success(0.0)
    connects.note_failure(CredentialError("too late"), began)
    assert (connects.error, connects.failing_since) == (None, None)
    connects.note_failure(CredentialError("the workspace is away"), time.monotonic())
    assert connects.failing_since
