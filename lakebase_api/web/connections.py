"""The connections of clients, and those of them that no thread works on: each waits for something."""

import os
import select
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from lakebase_api.web.incoming import IncomingRequest
from lakebase_api.web.validation import GREATEST_BODY

READ_SIZE = 16 * 1024

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection:
    """A client's connection."""

    def __init__(self, config: Config, sock: socket.socket, client: object, server: object) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        # Reads what it is given, never the socket.
        self.parser = RequestParser(config, (), client)
        # What has come of the request that no thread works on yet, and the one that a thread works on.
        self.incoming = IncomingRequest()
        self.taken = self.incoming
        # None while a thread works on a request.
        self.group: Group | None = None
        # Whether the loop reads what the client sends.
        self.is_read = False
        # Whether a thread keeps it after an answer, and reads the next request.
        self.is_kept = False
        # When the last answer was sent, by time.monotonic().
        self.answered = float("-inf")

    def tell(self, text: bytes) -> None:
        """Send a few bytes, or nothing if that would have to wait."""
        with suppress(OSError):
            os.write(self.sock.fileno(), text)

    def receive(self, seconds: float) -> None:
        """Wait so long for the client to send something of the next request, unless that is whole."""
        arrivals = select.poll()
        arrivals.register(self.sock, select.POLLIN)
        if not self.incoming.is_whole and arrivals.poll(seconds * 1000):
            with suppress(OSError):
                self.incoming.add(os.read(self.sock.fileno(), READ_SIZE))

    def take(self) -> None:
        """Set the request that has come in apart from what comes after it. Not while somebody adds to it."""
        self.taken, self.incoming = self.incoming, self.incoming.split()

    def parse(self) -> Request:
        """The request that was taken; to read its body takes no time.

        Raises ``StopIteration`` when no more requests may come, and gunicorn's errors when it makes no sense.
        """
        incoming = self.taken
        self.parser.unreader.unread(bytes(incoming.data))
        try:
            request = next(self.parser)
        except NoMoreData:
            raise LimitRequestHeaders("it does not end") from None
        # The client was told to continue when its head had come.
        request._expected_100_continue = False
        if incoming.cut:
            request.force_close()
        if incoming.chunked:
            request.body = _read_chunks(request, GREATEST_BODY + 1 if incoming.cut else None)
        return request

    def finish_body(self) -> bool:
        """Whether gunicorn ends the request where it was cut out of the bytes; else nothing more is sure."""
        is_finished = bool(self.parser.finish_body()) and not self.parser.unreader.take_buffered()
        self.parser.mesg = None  # else it would do this again before the next request
        return is_finished


def _read_chunks(request: Request, most: int | None) -> BytesIO:
    try:
        return BytesIO(request.body.read(most))
    except OSError:  # what gunicorn raises about chunks; the app would have to know
        raise InvalidHeader("TRANSFER-ENCODING", req=request) from None


class Group:
    """Connections that wait for the same, in the order in which they began, at most ``seconds`` each.

    Threads may add; only one takes away.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: OrderedDict[Connection, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._since)

    def add(self, connection: Connection) -> None:
        """Begin to wait."""
        with self._lock:
            connection.group = self
            self._since[connection] = time.monotonic()

    def remove(self, connection: Connection) -> None:
        """Wait no more."""
        with self._lock:
            connection.group = None
            del self._since[connection]

    def oldest(self) -> Connection:
        """Which has waited longest."""
        with self._lock:
            return next(iter(self._since))

    def overdue(self) -> Iterator[Connection]:
        """Those that have waited too long; each must be removed before the next is asked for."""
        began_before = time.monotonic() - self.seconds
        while self._since and self._since[self.oldest()] <= began_before:
            yield self.oldest()
