"""Waiting for what only asking can tell."""

import time
from collections.abc import Callable

# Seconds for anything that is waited for, so that a fault is an error and not a hang: it costs nothing where
# all is well, and a machine that is busy with something else does not reach it.
PATIENCE = 100.0
# Settings with which a service meets none of its limits of time, however busy the machine: a test that means
# one of them sets it.
PATIENT = {
    "CLIENT_TIMEOUT": "100",
    "COUNT_BUDGET": "60",
    "DB_COMMAND_TIMEOUT": "100",
    "DB_POOL_TIMEOUT": "100",
    "REQUEST_TIMEOUT": "110",
    "WAKE_BUDGET": "60",
}


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when the condition holds. Raises ``TimeoutError``."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to hold")
        time.sleep(0.02)
