"""A client's connection as gunicorn's threads use it, with a limit to how long they wait for the client."""

import errno
import logging
import socket
import ssl
import time
from typing import Any, ClassVar

from werkzeug.exceptions import RequestTimeout

logger = logging.getLogger(__name__)

# Bytes of an answer for which a client has the time limit: a large one is sent in several pieces.
PIECE = 128 * 1024
# Seconds by which a request may take longer.
TOLERANCE = 0.1


class ClientSocket(socket.socket):
    """A connection that gives a client ``client_timeout`` seconds for a request or ``PIECE`` of an answer.

    For a request they begin when a thread takes the connection up; once over, ``RequestTimeout`` is raised,
    for which the worker or the app answers 408. An answer that is not taken raises ``BrokenPipeError``, as if
    the client had gone. For one thread at a time.
    """

    client_timeout: ClassVar[float] = 10.0
    deadline = 0.0

    def setblocking(self, flag: bool) -> None:
        """What gunicorn calls when a thread takes the connection up (``True``), and when its loop does."""
        self.settimeout(self.client_timeout if flag else 0.0)
        self.deadline = time.monotonic() + self.client_timeout

    def recv(self, *arguments: Any) -> bytes:
        """Wait for more of a request. Raises ``RequestTimeout``."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise RequestTimeout
        # For the first read, mostly the only one, what is set will do: to set it calls the system.
        if left < self.client_timeout - TOLERANCE:
            self.settimeout(left)
        try:
            return super().recv(*arguments)
        except TimeoutError:
            raise RequestTimeout from None

    def sendall(self, data: Any, *arguments: Any) -> None:
        """Send a part of an answer. Raises ``BrokenPipeError``."""
        if self.gettimeout() != self.client_timeout:
            self.settimeout(self.client_timeout)
        try:
            for begin in range(0, len(data), PIECE):
                super().sendall(memoryview(data)[begin : begin + PIECE], *arguments)
        except TimeoutError:
            logger.debug("A client does not take its answer")
            raise BrokenPipeError(errno.EPIPE, "the client does not take its answer") from None

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file in the same way: the system's way would begin the time anew with each byte taken."""
        file.seek(offset)
        data = file.read(count)
        self.sendall(data)
        return len(data)


class ClientTLSSocket(ClientSocket, ssl.SSLSocket):
    """The same with TLS."""


def take_over(accepted: socket.socket) -> ClientSocket:
    """The connection as a ``ClientSocket``; ``accepted`` is of no more use."""
    family, kind, protocol = accepted.family, accepted.type, accepted.proto
    return ClientSocket(family, kind, protocol, fileno=accepted.detach())
