"""Has the app answer a request and sends the answer: as gunicorn does, but in one piece."""

import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import IO
from wsgiref.types import WSGIApplication, WSGIEnvironment

from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.wsgi import FileWrapper, Response, create

from lakebase_api.web.connections import Connection

logger = logging.getLogger(__name__)

# What is larger is not copied to be sent in one with the head.
WORTH_JOINING = 64 * 1024


class CutShort(Exception):
    """A body cannot go on, and has said why in the log. The client sees that the answer is not whole."""


class Outgoing:
    """A socket as gunicorn's response writes to it. ``flush`` when the answer is whole.

    Each send lets another thread run and has to wait until that one pauses: the head alone is not worth it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""
        self.has_begun = False

    def sendall(self, data: bytes) -> None:
        """Send that, or hold it back if it is short. Raises ``OSError``, as do the other methods."""
        if len(self._held) + len(data) <= WORTH_JOINING:
            self._held += data
        else:
            self.flush()
            self._send(data)

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._sock.fileno()

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send the content of a file."""
        self.flush()
        return self._sock.sendfile(file, offset, count)

    def flush(self) -> None:
        """Send what was held back."""
        if self._held:
            data, self._held = self._held, b""
            self._send(data)

    def _send(self, data: bytes) -> None:
        self.has_begun = True
        # The socket has a timeout: its own methods ask the system first whether it takes any bytes.
        try:
            sent = os.write(self._sock.fileno(), data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._sock.sendall(memoryview(data)[sent:])


def find_client(environ: WSGIEnvironment) -> int | None:
    """The descriptor of the client's socket, to see whether it hangs up; ``None`` where there is none."""
    outgoing = environ.get("gunicorn.socket")
    return outgoing.fileno() if isinstance(outgoing, Outgoing) else None


class CheckedResponse(Response):  # type: ignore[misc]
    """gunicorn's response, whose headers werkzeug has checked: it need not match each one against patterns.

    None of the app's is about the connection itself.
    """

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take the headers as they are, and note the length of the body."""
        for name, value in headers:
            if name == "Content-Length":
                self.response_length = int(value)
            self.headers.append((name, value))


def answer(
    app: WSGIApplication,
    request: Request,
    connection: Connection,
    config: Config,
    is_last: Callable[[], bool],
) -> bool:
    """Answer a request. Whether the connection may be kept: not if ``is_last`` once the app has answered.

    Without gunicorn's hooks and access log, which would be made for each request and not written. Raises
    what goes wrong before anything was sent, and ``OSError`` when the client is gone.
    """
    outgoing = Outgoing(connection.sock)
    client, server = connection.client, connection.server
    response, environ = create(request, outgoing, client, server, config, CheckedResponse)
    environ["wsgi.multithread"] = True
    body = app(environ, response.start_response)
    try:
        if is_last():
            response.force_close()
        if isinstance(body, FileWrapper):
            response.write_file(body)
        else:
            for item in body:
                response.write(item)
                # The next one may take long.
                outgoing.flush()
        response.close()
        outgoing.flush()
    except OSError:
        raise
    except CutShort:
        return False
    except Exception:
        if not outgoing.has_begun:
            raise
        logger.exception("An answer was cut short")
        return False
    finally:
        if hasattr(body, "close"):
            body.close()
    return not response.should_close()
