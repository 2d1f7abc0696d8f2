"""All connections of a worker: which are read, which wait for what, and for how long."""

import selectors
import socket
from collections.abc import Callable
from functools import partial

from lakebase_api.web.connections import TIMED_OUT, Connection, Group

# Seconds for a client to close its side after the last answer: closing both at once may discard that answer.
# https://www.rfc-editor.org/rfc/rfc9112#section-9.6
CLOSING_TIME = 2.0

Reader = Callable[[Connection, socket.socket], None]


class Clients:
    """The connections of a worker. For its loop alone; only ``idle.add`` is for other threads, too.

    ``read`` is called with a connection that has something to read.
    """

    def __init__(
        self, poller: selectors.BaseSelector, read: Reader, *, keepalive: float, client_timeout: float
    ) -> None:
        self._poller = poller
        self._read = read
        self.count = 0
        self.idle = Group(keepalive)
        self.sending = Group(client_timeout)
        self.closing = Group(CLOSING_TIME)

    @property
    def are_waiting(self) -> bool:
        """Whether there is one that no thread works on."""
        return bool(self.idle or self.closing or self.sending)

    def add(self, connection: Connection) -> None:
        """Begin with a new connection."""
        self.count += 1
        self.wait(connection, self.idle)

    def wait(self, connection: Connection, group: Group) -> None:
        """Put it in a group and read what comes."""
        group.add(connection)
        if not connection.is_read:
            connection.is_read = True
            self._poller.register(connection.sock, selectors.EVENT_READ, partial(self._read, connection))

    def stop_reading(self, connection: Connection) -> None:
        """Leave what the client sends where it is."""
        if connection.is_read:
            connection.is_read = False
            self._poller.unregister(connection.sock)

    def hang_up(self, connection: Connection) -> None:
        """Close our side, and wait for the client to close its own."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
        else:
            self.wait(connection, self.closing)

    def drop(self, connection: Connection) -> None:
        """Be done with it."""
        if connection.group:
            connection.group.remove(connection)
        self.stop_reading(connection)
        connection.sock.close()
        self.count -= 1

    def make_room(self) -> None:
        """Drop the one that is missed least, if there is one that no thread works on."""
        for group in (self.idle, self.closing, self.sending):
            if group:
                self.drop(group.oldest())
                return

    def end_overdue(self) -> None:
        """End those that have waited too long."""
        for connection in self.sending.overdue():
            self.sending.remove(connection)
            connection.tell(TIMED_OUT)
            self.hang_up(connection)
        for group in (self.idle, self.closing):
            for connection in group.overdue():
                self.drop(connection)
