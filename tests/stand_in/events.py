"""What has happened so far, counted, and a way to wait for more of it."""

import threading
from collections import Counter
from typing import Literal

from tests.waiting import PATIENCE

Event = Literal[
    "request",  # any HTTP request that arrived, whatever the answer
    "oauth_request",  # a service principal asked for a workspace token, whatever the answer
    "credential_request",  # somebody asked for a database credential, whatever the answer
    "synced_table_request",  # somebody asked how far a synced table is, whatever the answer
    "mint",  # a database credential was issued (recorded just before the answer is sent)
    "fault",  # a request met a fault that was switched on
    "hung",  # a request is being held without an answer
    "login_accepted",
    "login_refused",
]


class Events:
    """Counts since the start or the last ``forget``. Safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: Counter[Event] = Counter()

    def record(self, event: Event) -> None:
        """Count one more, and wake whoever waits."""
        with self._changed:
            self._counts[event] += 1
            self._changed.notify_all()

    def forget(self) -> None:
        """Count from zero again."""
        with self._changed:
            self._counts.clear()

    def count(self, event: Event) -> int:
        """How many there have been."""
        with self._changed:
            return self._counts[event]

    def wait_for(self, event: Event, n: int, timeout: float = PATIENCE) -> None:
        """Return once there have been at least ``n`` in all.

        Raises TimeoutError, naming what was seen, after ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._counts[event] >= n, timeout):
                raise TimeoutError(f"waited {timeout} s for {n} of {event}, saw {dict(self._counts)}")
