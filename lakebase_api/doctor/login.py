"""Logs in as the app would: a check for each step, and what mends the one that fails."""

import time
from collections.abc import Generator, Iterator
from typing import Any

import psycopg

from lakebase_api.doctor.examination import miss_role
from lakebase_api.lakebase.connection import LakebaseConnection
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import LOGIN_REFUSED, NO_ROLE, classify, first_line
from lakebase_api.lakebase.findings import Check, State, failed, passed, skipped
from lakebase_api.lakebase.service import build_target
from lakebase_api.redaction import redact
from lakebase_api.settings import Settings, TargetKind

STEPS = ("workspace", "token", "host", "TLS", "login", "database")
# Seconds between tries while the database wakes up.
PAUSE = 0.5
LOGIN = "Correct DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, or DATABRICKS_TOKEN"
# By words of the SDK's errors, the first that fits; and whether they mean that the workspace answered.
WORKSPACE_MENDS = {
    "invalid_client": (LOGIN, False),
    "unauthenticated": (LOGIN, False),
    "more than one authorization": ("Unset DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID", False),
    "cannot configure default": (f"Set DATABRICKS_HOST. {LOGIN}", False),
    "notfound": ("Correct {target}", True),
    "permissiondenied": ("Attach the database to the app, or let its service principal use {target}", True),
    "no token or is past": ("Run this again: what the workspace gave is of no use", True),
}
UNREACHABLE = "Set DATABRICKS_HOST to the URL of the workspace, and see that it can be reached from here"
LONGEST_TEXT = 200

Steps = Generator[Check, None, LakebaseConnection | None]


def log_in(settings: Settings) -> Steps:
    """Yield a check for each step, and return the connection, in autocommit mode, or ``None``."""
    target, holder = build_target(settings)
    try:
        arguments = target.connect_arguments()
    except CredentialError as error:
        yield from _judge_workspace(settings, str(error), has_token=bool(holder and holder.current))
        return None
    if holder is None:
        yield passed("workspace", "not needed, since PGPASSWORD is set")
        yield passed("token", "not needed, since PGPASSWORD is set")
    else:
        yield passed("workspace", f"the host is {arguments['host']}, the role {arguments['user']}")
        yield passed("token", "the workspace gave one")
    return (yield from _connect(settings, arguments))


class LoginFailed(Exception):
    """There is no connection; the text says why, and what mends it."""


def log_in_or_fail(settings: Settings) -> LakebaseConnection:
    """A connection in autocommit mode. Raises ``LoginFailed``."""
    steps = log_in(settings)
    while True:
        try:
            check = next(steps)
        except StopIteration as end:
            connection: LakebaseConnection = end.value
            return connection
        if check.state is State.FAILED:
            raise LoginFailed(redact(check.line))


def _judge_workspace(settings: Settings, error: str, *, has_token: bool) -> Iterator[Check]:
    text = error.partition(" Config: ")[0][:LONGEST_TEXT].rstrip(".")
    words = error.lower()
    mend, has_answered = next(
        (mend for key, mend in WORKSPACE_MENDS.items() if key in words), (UNREACHABLE, False)
    )
    is_endpoint = settings.target is TargetKind.AUTOSCALING
    mend = mend.format(target="LAKEBASE_ENDPOINT" if is_endpoint else "DATABRICKS_DATABASE_INSTANCE")
    if has_answered and not has_token:
        yield passed("workspace", "it answers")
        yield failed("token", text, mend=mend)
    else:
        yield failed("workspace", text, mend=mend)
        yield passed("token", "the workspace gave one") if has_token else skipped("token", "no workspace")
    yield from (skipped(step, "no host, user and token to connect with") for step in STEPS[2:])


def _connect(settings: Settings, arguments: dict[str, Any]) -> Steps:
    gives_up_at = time.monotonic() + settings.wake_budget
    while True:
        try:
            connection = LakebaseConnection.connect(on_failure=lambda *_: None, **arguments)
        except psycopg.OperationalError as error:
            if classify(error).passes and time.monotonic() + PAUSE < gives_up_at:
                time.sleep(PAUSE)
                continue
            yield from _judge_failure(settings, arguments, error)
            return None
        try:
            yield from _judge_connection(settings, arguments, connection)
        except GeneratorExit:  # nobody asks for more, such as when what is printed is read no longer
            connection.close()
            raise
        return connection


def _judge_connection(
    settings: Settings, arguments: dict[str, Any], connection: LakebaseConnection
) -> Iterator[Check]:
    encrypted = "in use" if connection.pgconn.ssl_in_use else "not in use"
    yield passed("host", f"{arguments['host']} answers at port {arguments['port']}")
    yield passed("TLS", f"{encrypted}, PGSSLMODE is {settings.pg_sslmode}")
    yield passed("login", f"as {connection.info.user}")
    yield passed("database", connection.info.dbname)


def _judge_failure(
    settings: Settings, arguments: dict[str, Any], error: psycopg.OperationalError
) -> Iterator[Check]:
    says = first_line(error).removeprefix("connection failed: ")
    failure = classify(error)
    mend, statements = failure.mend, failure.build_sql(arguments["user"], arguments["dbname"])
    if failure in (LOGIN_REFUSED, NO_ROLE) and settings.target is not TargetKind.STATIC:
        # A token is right for one role only, and the server does not say that this role is not there.
        absent = miss_role(arguments["user"])
        mend, statements = f"Correct PGUSER, where it is set. {absent.mend}", absent.sql
    at = STEPS.index(failure.step)
    yield from (passed(step, "no fault met") for step in STEPS[2:at])
    yield failed(failure.step, says, mend=mend, sql=statements)
    yield from (skipped(step, "no connection") for step in STEPS[at + 1 :])
