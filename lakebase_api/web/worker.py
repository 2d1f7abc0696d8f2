"""A gunicorn worker that loses no request when it is stopped, and no thread to a slow or broken client.

gunicorn's thread worker reads requests in its threads, for as long as a client likes. Here the loop that
waits for connections also reads them, and a thread is given a request once it is whole. Hence every
connection that no thread works on is in one of three groups, each with a time limit. When a thread has
answered it puts the connection back by itself: the loop need not wake up for it. From a client that asks
again at once it reads the next request, too. Plain HTTP/1 only: TLS ends at the platform's proxy.
"""

import errno
import os
import selectors
import socket
import threading
import time
from functools import partial
from typing import Any
from wsgiref.types import WSGIApplication

from gunicorn.workers.gthread import ThreadWorker

from lakebase_api.web.connections import CONTINUE, READ_SIZE, TIMED_OUT, Connection, Group
from lakebase_api.web.outgoing import answer
from lakebase_api.web.process import CLOSE_TIMEOUT

# Seconds for a client to close its side after the last answer: closing both at once may discard that answer.
# https://www.rfc-editor.org/rfc/rfc9112#section-9.6
CLOSING_TIME = 2.0
# Once the listeners are shut, seconds from the last sign of a client until its idle connection is closed.
LAST_IDLE_TIME = 1.0
# Seconds within which a client that asks again at once does so.
QUICK = 0.005
# Seconds between two looks at what is overdue.
LOOK_INTERVAL = 0.1
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
        # Of what a thread and the loop decide together: who goes on with a connection.
        self.deciding = threading.Lock()
        # How many connections threads keep to themselves; most threads are left for all others.
        self.kept = 0
        self.most_kept = self.cfg.threads // 4
        self.looked_at = 0.0
        self.idle = Group(self.cfg.keepalive)
        self.sending = Group(client_timeout)
        self.closing = Group(CLOSING_TIME)

    def run(self) -> None:
        """Serve until SIGTERM, then drain: accept a little longer, shut the listeners, finish the rest."""
        wakeups = self.method_queue
        self.poller.register(wakeups.fileno(), selectors.EVENT_READ, wakeups.run_callbacks)
        while self.alive:
            self._turn(1.0)
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
        if sock.fileno() < 0:  # dropped in this very turn
            return
        try:
            data = os.read(sock.fileno(), READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # reset
            data = b""
        if data:
            self._take(connection, data)
        elif connection.group:
            self._drop(connection)
        else:
            self._stop_reading(connection)  # the thread will see that the client is gone

    def enqueue_req(self, connection: Connection) -> None:
        """Have a thread answer the request that has come in."""
        self.tpool.submit(self.serve, connection)

    def serve(self, connection: Connection) -> None:
        """Answer the request, and those that come in meanwhile. Runs in a thread."""
        while self.handle(connection):
            if connection.is_kept and connection.receive(QUICK):
                continue
            with self.deciding:
                connection.answered = time.monotonic()
                if not connection.incoming.is_whole:
                    if connection.is_read and not connection.incoming.data:
                        self.idle.add(connection)
                    else:
                        self.method_queue.defer(self._go_on, connection)
                    return
        self.method_queue.defer(self._hang_up, connection)

    def handle(self, connection: Connection) -> bool:
        """Answer a request. Whether the connection is good for another. Runs in a thread."""
        request = None
        try:
            request = connection.parse()
            is_kept = answer(self.wsgi, request, connection, self.cfg, lambda: not self.alive)
            return is_kept and connection.finish_body()
        except StopIteration:  # gunicorn's way to say that the connection ends
            pass
        except OSError as error:
            self.log.debug("The client is gone, or does not take its answer: %s", error)
        except Exception as error:  # noqa: BLE001  whatever it is, the client is told, and the log
            self.handle_error(request, connection.sock, connection.client, error)
        return False

    def _turn(self, seconds: float) -> None:
        """Wait so long for something to happen, and do what is due."""
        has_room = self.nr_conns < self.worker_connections
        self.set_accept_enabled(bool(has_room or self.idle or self.closing or self.sending))
        self.wait_for_and_dispatch_events(seconds)
        if time.monotonic() >= self.looked_at + LOOK_INTERVAL:
            self.looked_at = time.monotonic()
            self._look_after()

    def _look_after(self) -> None:
        self.notify()
        if not self.is_parent_alive():
            self.alive = False
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
        if connection.group is self.closing:
            return
        with self.deciding:
            connection.incoming.add(data)
            is_whole = connection.incoming.is_whole
            if not connection.group:
                # A thread is at the request before; it goes on with this one, and two are enough to keep.
                if is_whole:
                    self._stop_reading(connection)
                return
            if not is_whole and connection.group is self.sending:
                return  # the time to send it all goes on
            connection.group.remove(connection)
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Decide what happens to a connection that is in no group and that no thread works on."""
        self._let_go(connection)
        if connection.incoming.is_whole:
            self._keep_if_quick(connection)
            self.enqueue_req(connection)
        elif not connection.incoming.data:
            self._wait(connection, self.idle)
        else:
            self._wait(connection, self.sending)
            if connection.incoming.awaits_continue:
                connection.incoming.awaits_continue = False
                connection.tell(CONTINUE)

    def _keep_if_quick(self, connection: Connection) -> None:
        """Let the thread go on with a client that asks again at once: two changes of thread less."""
        is_quick = time.monotonic() < connection.answered + QUICK
        if is_quick and self.alive and self.kept < self.most_kept:
            self._stop_reading(connection)
            connection.is_kept = True
            self.kept += 1

    def _let_go(self, connection: Connection) -> None:
        if connection.is_kept:
            connection.is_kept = False
            self.kept -= 1

    def _wait(self, connection: Connection, group: Group) -> None:
        group.add(connection)
        if not connection.is_read:
            connection.is_read = True
            self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.read, connection))

    def _stop_reading(self, connection: Connection) -> None:
        if connection.is_read:
            connection.is_read = False
            self.poller.unregister(connection.sock)

    def _leave_group(self, connection: Connection) -> None:
        if connection.group:
            connection.group.remove(connection)

    def _hang_up(self, connection: Connection) -> None:
        """Close our side, and wait for the client to close its own."""
        self._let_go(connection)
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
        else:
            self._wait(connection, self.closing)

    def _drop(self, connection: Connection) -> None:
        self._leave_group(connection)
        self._stop_reading(connection)
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
