"""Refreshes the database token before it expires, whether or not anybody asks for anything."""

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from lakebase_api.lakebase.credentials import CredentialError, CredentialHolder

logger = logging.getLogger(__name__)

# Seconds to the next try after the first, second, … failure in a row; the last one repeats.
RETRY_DELAYS = (1, 2, 5, 15, 30, 60)
JOB, REPLICA_JOB = "token-rotation", "replica-token-rotation"


class Rotation:
    """Rotates one credential holder's token on a scheduler's thread, as the job of this name."""

    def __init__(self, holder: CredentialHolder, scheduler: BackgroundScheduler, job: str = JOB) -> None:
        self._holder = holder
        self._job = job
        self._scheduler = scheduler
        self._failures = 0

    def start(self) -> None:
        """Rotate at once and then whenever the token is due."""
        # The interval is the net below: each run sets the time of the next one itself.
        self._scheduler.add_job(
            self._run, "interval", seconds=RETRY_DELAYS[-1], id=self._job, next_run_time=datetime.now(UTC)
        )

    def _run(self) -> None:
        delay = self._rotate_if_due()
        next_run_time = datetime.now(UTC) + timedelta(seconds=delay)
        with suppress(JobLookupError):  # the scheduler was shut down meanwhile
            self._scheduler.modify_job(self._job, next_run_time=next_run_time)

    def _rotate_if_due(self) -> float:
        """Seconds until the next run."""
        credential = self._holder.current
        if credential is None or credential.refresh_at <= time.monotonic():
            try:
                credential = self._holder.refresh()
            except CredentialError as error:
                return self._delay_after(error)
        self._failures = 0
        return max(0.0, credential.refresh_at - time.monotonic())

    def _delay_after(self, error: CredentialError) -> float:
        delay = RETRY_DELAYS[min(self._failures, len(RETRY_DELAYS) - 1)]
        self._failures += 1
        logger.warning("Background token refresh: failed: %s. Next try in %d s.", error, delay)
        return delay
