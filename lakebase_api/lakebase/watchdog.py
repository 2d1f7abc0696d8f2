"""Ends what the server does not end: a use of a connection that outlasts its deadline."""

import socket
import threading
import time
from contextlib import suppress

from psycopg import Connection, Error

# The server's own limit comes first; this is for a network that went silent.
GRACE = 0.25
INTERVAL = 0.05


class Watchdog:
    """Shuts the socket of a connection that is used past its deadline. Safe to share between threads.

    The statement that waits on it then fails as if the server had gone. ``open`` starts one thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[Connection[tuple[object, ...]], float] = {}
        self._is_open = False
        # Whether there was any use since the last look; and whether nobody looks before there is one.
        self._was_used = False
        self._is_asleep = False

    def open(self) -> None:
        """Start watching. Call it after the fork."""
        self._is_open = True
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._is_open = False
            self._changed.notify()

    def watch(self, connection: Connection[tuple[object, ...]], deadline: float) -> None:
        """End the use of the connection after ``deadline``, a time of ``time.monotonic()`` in seconds."""
        with self._changed:
            self._deadlines[connection] = deadline
            self._was_used = True
            if self._is_asleep:
                self._changed.notify()

    def release(self, connection: Connection[tuple[object, ...]]) -> None:
        """The use of the connection is over."""
        with self._changed:
            self._deadlines.pop(connection, None)

    def _run(self) -> None:
        with self._changed:
            while self._is_open:
                # Nothing wakes up while no connection is used. Under load uses follow each other closely: to
                # wake this thread for each would cost more than the query.
                self._is_asleep = not self._was_used and not self._deadlines
                self._was_used = False
                self._changed.wait(None if self._is_asleep else INTERVAL)
                self._is_asleep = False
                self._cut_overdue(time.monotonic() - GRACE)

    def _cut_overdue(self, now: float) -> None:
        for connection in [used for used, deadline in self._deadlines.items() if deadline < now]:
            del self._deadlines[connection]
            # The connection may have been lost in this moment, which is as good.
            with suppress(OSError, Error):
                _shut_down(connection.fileno())


def _shut_down(descriptor: int) -> None:
    with socket.fromfd(descriptor, socket.AF_UNSPEC, socket.SOCK_STREAM) as shared:
        shared.shutdown(socket.SHUT_RDWR)
