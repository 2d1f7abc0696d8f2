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
from typing import Any
from wsgiref.types import WSGIApplication

from gunicorn.workers.gthread import ThreadWorker

from lakebase_api.web.clients import Clients
from lakebase_api.web.connections import CONTINUE, READ_SIZE, Connection
from lakebase_api.web.gathering import Gathering
from lakebase_api.web.outgoing import answer
from lakebase_api.web.process import CLOSE_TIMEOUT

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
        # gunicorn looks up some twenty settings for each request, each by a call of Config.__getattr__.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        self.gathering = Gathering()

    def run(self) -> None:
        """Serve until SIGTERM, then drain: accept a little longer, shut the listeners, finish the rest."""
        self.clients = Clients(
            self.poller, self.read, keepalive=self.cfg.keepalive, client_timeout=self.client_timeout
        )
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
        self.log.info("Draining: the listeners are shut, %d connections are left", self.clients.count)
        self.clients.idle.seconds = LAST_IDLE_TIME
        while self.clients.count and time.monotonic() < leave_at:
            self._turn(0.1)
        if self.clients.count:
            self.log.warning("Draining: %d connections are cut", self.clients.count)

    def accept(self, listener: socket.socket) -> bool:
        """Take one new connection, in place of the idlest when there are too many. Whether there was one."""
        try:
            sock, client = listener.accept()
        except OSError as error:  # mostly that another worker was quicker, or the client is gone
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.clients.make_room()
            return False
        if self.clients.count >= self.worker_connections:
            self.clients.make_room()
        # Sending an answer takes this long at most; the loop never waits.
        sock.settimeout(self.client_timeout)
        self.clients.add(Connection(self.cfg, sock, client, listener.getsockname()))
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
            self.clients.drop(connection)
        else:
            self.clients.stop_reading(connection)  # the thread will see that the client is gone

    def enqueue_req(self, connection: Connection) -> None:
        """Have a thread answer the request that has come in."""
        self.tpool.submit(self.serve, connection)

    def serve(self, connection: Connection) -> None:
        """Answer the request, and those that come in meanwhile. Runs in a thread."""
        while self.handle(connection):
            connection.answered = time.monotonic()
            if connection.is_kept:
                connection.receive(QUICK)
            with self.deciding:
                if connection.incoming.is_whole:
                    connection.take()
                    continue
                if connection.is_read and not connection.incoming.data:
                    self.clients.idle.add(connection)
                else:
                    self.method_queue.defer(self._go_on, connection)
                return
        self.method_queue.defer(self._end, connection)

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
        has_room = self.clients.count < self.worker_connections
        self.set_accept_enabled(has_room or self.clients.are_waiting)
        self.wait_for_and_dispatch_events(seconds)
        if time.monotonic() >= self.looked_at + LOOK_INTERVAL:
            self.looked_at = time.monotonic()
            self._look_after()

    def _look_after(self) -> None:
        self.notify()
        if not self.is_parent_alive():
            self.alive = False
        self.clients.end_overdue()
        self.gathering.gather()

    def _take(self, connection: Connection, data: bytes) -> None:
        if connection.group is self.clients.closing:
            return
        with self.deciding:
            connection.incoming.add(data)
            is_whole = connection.incoming.is_whole
            if not connection.group:
                # A thread is at the request before; it goes on with this one, and two are enough to keep.
                if is_whole:
                    self.clients.stop_reading(connection)
                return
            if not is_whole and connection.group is self.clients.sending:
                return  # the time to send it all goes on
            connection.group.remove(connection)
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Decide what happens to a connection that is in no group and that no thread works on."""
        self._let_go(connection)
        if connection.incoming.is_whole:
            self._keep_if_quick(connection)
            connection.take()
            self.enqueue_req(connection)
        elif not connection.incoming.data:
            self.clients.wait(connection, self.clients.idle)
        else:
            self.clients.wait(connection, self.clients.sending)
            if connection.incoming.awaits_continue:
                connection.incoming.awaits_continue = False
                connection.tell(CONTINUE)

    def _keep_if_quick(self, connection: Connection) -> None:
        """Let the thread go on with a client that asks again at once: two changes of thread less."""
        is_quick = time.monotonic() < connection.answered + QUICK
        if is_quick and self.alive and self.kept < self.most_kept:
            self.clients.stop_reading(connection)
            connection.is_kept = True
            self.kept += 1

    def _let_go(self, connection: Connection) -> None:
        if connection.is_kept:
            connection.is_kept = False
            self.kept -= 1

    def _end(self, connection: Connection) -> None:
        self._let_go(connection)
        self.clients.hang_up(connection)

    def _shut_listeners(self) -> None:
        """Refuse connections from now on, once the last of the workers has done this."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            # Connections that nobody accepted would be reset.
            while self.accept(listener):
                pass
            listener.close()
        self.sockets = []
