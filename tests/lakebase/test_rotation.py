import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from lakebase_api.lakebase.credentials import Credential, CredentialError, CredentialHolder
from lakebase_api.lakebase.rotation import JOB, RETRY_DELAYS, Rotation
from tests.waiting import PATIENCE


class Mint:
    """Gives short-lived tokens, or fails; says when it was asked."""

    def __init__(self) -> None:
        self.life = 3600.0
        self.error: CredentialError | None = None
        self.asked = threading.Semaphore(0)

    def __call__(self) -> Credential:
        self.asked.release()
        if self.error:
            raise self.error
        return Credential.living("token", self.life, refresh_interval=3000, now=time.monotonic())

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.asked.acquire(timeout=PATIENCE)


@pytest.fixture
def mint() -> Mint:
    return Mint()


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
    scheduler.start()
    yield scheduler
    scheduler.shutdown(wait=False)


def wait_for_delay(scheduler: BackgroundScheduler, matches: Callable[[float], bool]) -> None:
    """Wait until the next run is as far away as asked: the run that is over has set it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job = scheduler.get_job(JOB)
        if job and job.next_run_time and matches(job.next_run_time.timestamp() - time.time()):
            return
        threading.Event().wait(0.01)
    raise TimeoutError


def test_the_token_is_rotated_although_nobody_asks_for_it(
    scheduler: BackgroundScheduler, mint: Mint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lakebase_api")
    mint.life = 0.2
    Rotation(CredentialHolder(mint), scheduler).start()
    mint.wait(times=4)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[:2] == [
        "Background token refresh: Generating fresh PostgreSQL OAuth token",
        "Background token refresh: Token updated successfully",
    ]
    assert messages.count("Background token refresh: Token updated successfully") >= 3


def test_the_next_rotation_comes_before_the_token_ends(scheduler: BackgroundScheduler, mint: Mint) -> None:
    mint.life = 1000.0
    Rotation(CredentialHolder(mint), scheduler).start()
    wait_for_delay(scheduler, lambda delay: 0.9 * 750 - PATIENCE < delay <= 750)


def test_a_token_minted_by_a_connect_is_not_minted_again(scheduler: BackgroundScheduler, mint: Mint) -> None:
    holder = CredentialHolder(mint)
    holder.token()
    Rotation(holder, scheduler).start()
    wait_for_delay(scheduler, lambda delay: delay > 2000)
    assert holder.minted == 1


def test_failures_are_retried_at_growing_distance_and_said(
    scheduler: BackgroundScheduler, mint: Mint, caplog: pytest.LogCaptureFixture
) -> None:
    mint.error = CredentialError("a database credential: PermissionDenied")
    rotation = Rotation(CredentialHolder(mint), scheduler)
    delays = [rotation._rotate_if_due() for _ in range(8)]
    assert delays == [1, 2, 5, 15, 30, 60, 60, 60]
    assert delays[0] == RETRY_DELAYS[0]
    assert caplog.records[0].getMessage() == (
        "Background token refresh: failed: a database credential: PermissionDenied. Next try in 1 s."
    )


def test_rotation_goes_on_after_a_failure(scheduler: BackgroundScheduler, mint: Mint) -> None:
    mint.error = CredentialError("away")
    holder = CredentialHolder(mint)
    Rotation(holder, scheduler).start()
    mint.wait()
    mint.error = None
    wait_for_delay(scheduler, lambda delay: delay > 2000)
    assert holder.minted == 1


def test_rotation_goes_on_after_a_bug(
    scheduler: BackgroundScheduler, mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs = iter([ZeroDivisionError()])

    def mint_with_a_bug() -> Credential:
        for bug in bugs:
            raise bug
        return mint()

    monkeypatch.setattr("lakebase_api.lakebase.rotation.RETRY_DELAYS", (0.1,))
    holder = CredentialHolder(mint_with_a_bug)
    Rotation(holder, scheduler).start()
    mint.wait()
    assert holder.minted <= 1
