"""A client's connection as gunicorn's threads use it, with a limit to how long they wait for the client."""

import errno
import logging
import socket
import ssl
import struct
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
    # Python does not heed the limits that the system has for a socket when it waits for TLS.
    is_for_tls = False
    _head = b""

    def setblocking(self, flag: bool) -> None:
        """What gunicorn calls when a thread takes the connection up (``True``), and when its loop does."""
        super().setblocking(flag)
        if flag and self.is_for_tls:
            self.settimeout(self.client_timeout)
        self.deadline = time.monotonic() + self.client_timeout

    def recv(self, *arguments: Any) -> bytes:
        """Wait for more of a request. Raises ``RequestTimeout``."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise RequestTimeout
        # For the first read, mostly the only one, the limit that the socket has will do.
        if left < self.client_timeout - TOLERANCE:
            self.settimeout(left)
        try:
            return super().recv(*arguments)
        except (TimeoutError, BlockingIOError):
            raise RequestTimeout from None

    def sendall(self, data: Any, *arguments: Any) -> None:
        """Send a part of an answer; a head waits for what follows, or ``flush``. Raises ``BrokenPipeError``.

        gunicorn sends the head apart, which costs a tenth of what it takes to answer with one order.
        """
        if data.startswith(b"HTTP/") and data.endswith(b"\r\n\r\n"):
            self._head += data
            return
        data, self._head = self._head + data, b""
        for begin in range(0, len(data), PIECE):
            self._send_piece(memoryview(data)[begin : begin + PIECE])

    def flush(self) -> None:
        """Send the head of an answer without a body. Raises ``BrokenPipeError``."""
        if self._head:
            self.sendall(b"")

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file in the same way: the system's way would begin the time anew with each byte taken."""
        file.seek(offset)
        data = file.read(count)
        self.sendall(data)
        return len(data)

    def _send_piece(self, piece: memoryview) -> None:
        # A read may have left a shorter limit. Where gunicorn does not wait at all (0.0), it has its reasons.
        limit = self.client_timeout if self.is_for_tls else None
        if self.gettimeout() not in (limit, 0.0):
            self.settimeout(limit)
        ends = time.monotonic() + self.client_timeout
        try:
            while sent := super().send(piece):
                piece = piece[sent:]
                if not piece:
                    return
                if time.monotonic() >= ends:
                    break
        except (TimeoutError, BlockingIOError):
            pass
        logger.debug("A client does not take its answer")
        raise BrokenPipeError(errno.EPIPE, "the client does not take its answer")


class ClientTLSSocket(ClientSocket, ssl.SSLSocket):
    """The same with TLS."""

    is_for_tls = True


def take_over(accepted: socket.socket, *, is_for_tls: bool) -> ClientSocket:
    """The connection as a ``ClientSocket``; ``accepted`` is of no more use."""
    family, kind, protocol = accepted.family, accepted.type, accepted.proto
    taken = ClientSocket(family, kind, protocol, fileno=accepted.detach())
    if is_for_tls:
        taken.is_for_tls = True
    seconds, fraction = divmod(taken.client_timeout, 1)
    limit = struct.pack("ll", int(seconds), int(fraction * 1e6))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        taken.setsockopt(socket.SOL_SOCKET, option, limit)
    return taken
