"""Serves metrics on an address of their own, without identity: one worker does, for all."""

import fcntl
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

from lakebase_api.addresses import split_bind
from lakebase_api.telemetry.exposition import CONTENT_TYPE

logger = logging.getLogger(__name__)

PATH = "/metrics"
LOCK = "metrics.lock"
# Seconds until it is tried again to listen where another process does.
PAUSE = 1.0
# Seconds for a client to ask, and to take the answer.
PATIENCE = 5.0


class MetricsServer:
    """Listens at ``bind``, if that is given, in the one of all workers that has the lock.

    The system takes the lock back from a process that ends, however it does: the next worker goes on then.
    https://man7.org/linux/man-pages/man2/flock.2.html
    """

    def __init__(self, bind: str | None, write: Callable[[], bytes]) -> None:
        self._bind = bind
        self._write = write
        self._is_closing = threading.Event()

    def open(self, folder: Path) -> None:
        """Wait for the turn to listen, in a thread. Call it after the fork."""
        if self._bind:
            arguments = (self._bind, folder / LOCK)
            threading.Thread(target=self._run, args=arguments, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Listen no more, and have the next worker do."""
        self._is_closing.set()

    def _run(self, bind: str, lock: Path) -> None:
        # An open file of its own: one that was opened before the fork would be locked for all workers.
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if server := self._listen(bind):
                with server:
                    logger.info("Metrics: served at http://%s%s", bind, PATH)
                    threading.Thread(target=server.serve_forever, name="metrics-server", daemon=True).start()
                    self._is_closing.wait()
                    server.shutdown()
        finally:
            os.close(file)

    def _listen(self, bind: str) -> "_Server | None":
        """The server, as soon as the address is free; ``None`` if it is to be closed by then."""
        has_told = False
        while not self._is_closing.is_set():
            try:
                return _Server(bind, self._write)
            except OSError as error:
                if not has_told:
                    logger.warning("METRICS_BIND: cannot listen at %s, trying again: %s", bind, error)
                has_told = True
                self._is_closing.wait(PAUSE)
        return None


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, bind: str, write: Callable[[], bytes]) -> None:
        host, port = split_bind(bind)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.write = write
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what went wrong, unless it is that the client is gone."""
        if not isinstance(sys.exception(), OSError):
            logger.exception("Metrics: they could not be told")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer with the metrics."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(404)
            return
        body = self.server.write()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """What the header Server has: no versions."""
        return "lakebase-api"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: who scrapes does so several times a minute."""
