"""A gunicorn worker that loses no request when it is stopped, and no thread to a slow or broken client.

gunicorn's thread worker reads requests in its threads, for as long as a client likes. Here the loop that
waits for connections also reads them, and a thread is given a request once it is whole. Hence every
connection that no thread works on is in one of three groups, each with a time limit. Plain HTTP/1 only: TLS
ends at the platform's proxy.
"""

import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from gunicorn.workers.gthread import ThreadWorker

from lakebase_api.web.connections import CONTINUE, TIMED_OUT, Connection, Group
from lakebase_api.web.incoming import IncomingRequest
from lakebase_api.web.process import CLOSE_TIMEOUT

READ_SIZE = 16 * 1024
# Seconds for a client to close its side after the last answer: closing both at once may discard that answer.
# https://www.rfc-editor.org/rfc/rfc9112#section-9.6
CLOSING_TIME = 2.0
# Once the listeners are shut, seconds from the last sign of a client until its idle connection is closed.
LAST_IDLE_TIME = 1.0
# Seconds left to be gone before the master kills, once what the app holds open is closed.
EXIT_MARGIN = 1.0


class Worker(ThreadWorker):
    """gunicorn's thread worker with a loop of its own. ``prepare`` must be called after the fork."""

    alive: bool
    sockets: list[Any]
    worker_connections: int
    wsgi: WSGIApplication

    def prepare(self, *, drain_delay: float, client_timeout: float) -> None:
        """Set for how many seconds to go on accepting after SIGTERM, and to wait for a client's bytes."""
        self.drain_delay = drain_delay
        self.client_timeout = client_timeout
        # Else gunicorn closes connections after an answer when there are many; here the idlest make room.
        self.max_keepalived = self.worker_connections
        self.idle = Group(self.cfg.keepalive)
        self.sending = Group(client_timeout)
        self.closing = Group(CLOSING_TIME)

    def load_wsgi(self) -> None:
        """As gunicorn; and the last moment decides whether an answer says ``Connection: close``."""
        super().load_wsgi()
        app = self.wsgi

        def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            answer = app(environ, start_response)
            if not self.alive:
                start_response.__self__.force_close()  # type: ignore[attr-defined]
            return answer

        self.wsgi = serve

    def run(self) -> None:
        """Serve until SIGTERM, then drain: accept a little longer, shut the listeners, finish the rest."""
        wakeups = self.method_queue
        self.poller.register(wakeups.fileno(), selectors.EVENT_READ, wakeups.run_callbacks)
        while self.alive:
            self._turn(1.0)
            if not self.is_parent_alive():
                self.alive = False
        leave_at = time.monotonic() + self.cfg.graceful_timeout - CLOSE_TIMEOUT - EXIT_MARGIN
        self.log.info("Draining: connections are accepted for %g s more", self.drain_delay)
        shut_at = time.monotonic() + self.drain_delay
        while (left := shut_at - time.monotonic()) > 0:
            self._turn(min(left, 1.0))
        self._shut_listeners()
        self.log.info("Draining: the listeners are shut, %d connections are left", self.nr_conns)
        self.idle.seconds = LAST_IDLE_TIME
        while self.nr_conns and time.monotonic() < leave_at:
            self._turn(0.1)
        if self.nr_conns:
            self.log.warning("Draining: %d connections are cut", self.nr_conns)

    def accept(self, listener: socket.socket) -> bool:
        """Take one new connection, in place of the idlest when there are too many. Whether there was one."""
        try:
            sock, client = listener.accept()
        except OSError as error:  # mostly that another worker was quicker, or the client is gone
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            return False
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self.nr_conns += 1
        # Sending an answer takes this long at most; the loop never waits.
        sock.settimeout(self.client_timeout)
        self._wait(Connection(self.cfg, sock, client, listener.getsockname()), self.idle)
        return True

    def read(self, connection: Connection, sock: socket.socket) -> None:
        """Take what a client sent."""
        if not connection.group:  # dropped in this very turn
            return
        try:
            data = os.read(sock.fileno(), READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # reset
            data = b""
        if not data:
            self._drop(connection)
        elif connection.group is not self.closing:
            self._take(connection, data)

    def handle(self, connection: Connection) -> bool:
        """Answer a request. Whether the connection is good for another. Runs in a thread."""
        request = None
        try:
            request = connection.parse()
            return bool(self.handle_request(request, connection) and connection.parser.finish_body())
        except StopIteration:  # gunicorn's way to say that the connection ends
            pass
        except OSError as error:
            self.log.debug("The client is gone, or does not take its answer: %s", error)
        except Exception as error:  # noqa: BLE001  whatever it is, the client is told, and the log
            self.handle_error(request, connection.sock, connection.client, error)
        return False

    def finish_request(self, connection: Connection, done: Future[bool]) -> None:
        """Go on with a connection that a thread has worked on."""
        if done.cancelled() or done.exception() or not done.result():
            self._hang_up(connection)
            return
        connection.incoming = IncomingRequest()
        self._wait(connection, self.idle)
        if pipelined := connection.parser.unreader.take_buffered():
            self._take(connection, pipelined)

    def _turn(self, seconds: float) -> None:
        """Wait so long for something to happen, and do what is due."""
        self.notify()
        has_room = self.nr_conns < self.worker_connections
        self.set_accept_enabled(bool(has_room or self.idle or self.closing or self.sending))
        self.wait_for_and_dispatch_events(seconds)
        for connection in self.sending.overdue():
            self._leave_group(connection)
            connection.tell(TIMED_OUT)
            self._hang_up(connection)
        for group in (self.idle, self.closing):
            for connection in group.overdue():
                self._drop(connection)

    def _make_room(self) -> None:
        for group in (self.idle, self.closing, self.sending):
            if group:
                self._drop(group.oldest())
                return

    def _take(self, connection: Connection, data: bytes) -> None:
        incoming = connection.incoming
        if incoming.add(data):
            self._leave_group(connection)
            self.enqueue_req(connection)
            return
        if connection.group is self.idle:
            self.idle.remove(connection)
            self.sending.add(connection)
        if incoming.awaits_continue:
            incoming.awaits_continue = False
            connection.tell(CONTINUE)

    def _wait(self, connection: Connection, group: Group) -> None:
        group.add(connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.read, connection))

    def _leave_group(self, connection: Connection) -> None:
        if connection.group:
            connection.group.remove(connection)
            self.poller.unregister(connection.sock)

    def _hang_up(self, connection: Connection) -> None:
        """Close our side, and wait for the client to close its own."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
        else:
            self._wait(connection, self.closing)

    def _drop(self, connection: Connection) -> None:
        self._leave_group(connection)
        connection.sock.close()
        self.nr_conns -= 1

    def _shut_listeners(self) -> None:
        """Refuse connections from now on, once the last of the workers has done this."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            # Connections that nobody accepted would be reset.
            while self.accept(listener):
                pass
            listener.close()
        self.sockets = []
