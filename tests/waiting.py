"""Waiting for what only asking can tell."""

import time
from collections.abc import Callable

# Seconds until a condition that does not come to hold is a failure.
PATIENCE = 20.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when the condition holds. Raises ``TimeoutError``."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to hold")
        time.sleep(0.02)
