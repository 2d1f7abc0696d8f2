"""The listening socket and its threads; what to answer is somebody else's matter."""

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

from .messages import Reply, Request

Answer = Callable[[Request], Reply | None]
"""Makes the reply; None closes the connection without one."""


class LocalHttpServer:
    """HTTP/1.1 on 127.0.0.1. May be closed and opened again: the port stays the same."""

    def __init__(self, answer: Answer, clock: Callable[[], float] = time.time) -> None:
        self.port = 0
        self._answer = answer
        self._clock = clock
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Listen, unless it does already."""
        with self._lock:
            if self._server is not None:
                return
            self._server = _Server(self.port, self._answer, self._clock)
            self.port = int(self._server.server_address[1])
            self._thread = threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="stand-in-http"
            )
            self._thread.start()

    def close(self) -> None:
        """Refuse new connections and cut the open ones; all threads have ended when this returns."""
        with self._lock:
            if self._server is None or self._thread is None:
                return
            self._server.shutdown()
            self._thread.join()
            self._server.cut_connections()
            self._server.server_close()
            self._server = None


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = False  # server_close() joins only threads that are not daemons
    request_queue_size = 64

    def __init__(self, port: int, answer: Answer, clock: Callable[[], float]) -> None:
        self.answer = answer
        self.clock = clock
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Wake the threads that wait for another request on a connection kept alive."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the client may have gone
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that went away in the middle is part of what is tested, not news.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.answer(Request(self.command, self.path.partition("?")[0], headers, body))
        if reply is None:
            self.close_connection = True
            return
        content_type, content = reply.encoded()
        self.send_response(reply.status)
        for name, value in {"Content-Type": content_type, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The date of an answer, by the clock of the workspace."""
        return super().date_time_string(self.server.clock() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: tests read the process's output."""
