"""gunicorn's thread worker, with what that leaves open: a drain, silent clients, a crowd of clients.

gunicorn parses, answers and keeps. Of its ``ThreadWorker`` only what ``tests/server/test_worker.py`` lists is
used, for gunicorn 27.
"""

import errno
import os
import select
import selectors
import socket
import threading
import time
from collections import deque
from functools import cache, partial
from typing import Any

from gunicorn import util
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker
from werkzeug.exceptions import RequestTimeout

from lakebase_api.server.client_socket import take_over
from lakebase_api.server.refused_settings import refuse_settings

# Seconds for a client to close its side after the last answer: to close both at once may discard that answer.
# https://www.rfc-editor.org/rfc/rfc9112#section-9.6
CLOSING_TIME = 2.0
# Seconds within which a client that asks again at once does so.
QUICK = 0.005
# Threads up to which each keeps its client. Of more, each has to wait until the others let it run.
FEW = 8


class Connection(TConn):
    """A client's connection. Closing it gracefully holds up nobody."""

    def __init__(self, worker: "Worker", *arguments: Any) -> None:
        super().__init__(*arguments)
        self.worker = worker

    def init(self) -> None:
        """Begin, in a thread. With TLS there is another socket from now on, whose time begins as well."""
        if not self.initialized:
            super().init()
            self.sock.setblocking(True)

    def close(self, graceful: bool = False) -> None:
        """Close it, at once or as soon as the client has."""
        if graceful:
            self.worker.linger(self)
        else:
            super().close()


class Worker(ThreadWorker):
    """``prepare`` must be called after the fork."""

    sockets: list[Any]

    @classmethod
    def check_config(cls, cfg: Config, log: Logger) -> None:
        """Refuse what would not be honoured. Raises ``RuntimeError``."""
        super().check_config(cfg, log)
        refuse_settings(cfg)

    def prepare(self, *, drain_delay: float) -> None:
        """Set for how many seconds to go on accepting after SIGTERM."""
        self.drain_delay = drain_delay
        self.is_draining = False
        self.closing: deque[Connection] = deque()
        # Where there are too many, the one that is idle longest goes. gunicorn would keep no more of them.
        self.max_keepalived = self.worker_connections

    def handle_exit(self, sig: int, frame: object) -> None:
        """Begin to drain, from within the handler of SIGTERM."""
        self.method_queue.defer(self.drain, sig, frame)

    def drain(self, sig: int, frame: object) -> None:
        """Say with each answer that it is the last on its connection; stop accepting after a delay."""
        if self.is_draining:
            return
        self.is_draining = True
        self.log.info("Draining: connections are accepted for %g s more", self.drain_delay)
        stop = threading.Timer(self.drain_delay, super().handle_exit, (sig, frame))
        stop.daemon = True
        stop.start()

    def set_accept_enabled(self, enabled: bool) -> None:
        """In the end take the connections that are there already, and have later ones refused."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive or not self.sockets:
            return
        for listener in self.sockets:
            while self.accept(listener):
                pass
            listener.close()
        self.sockets = []
        for conn in self.pending_conns:
            conn.timeout = time.monotonic() + CLOSING_TIME
        left = "Draining: the listeners are shut, %d connections are left, for %d s at most"
        self.log.info(left, self.nr_conns, self.cfg.graceful_timeout)

    def accept(self, listener: Any) -> bool:
        """Take a connection, which needs no thread until it says something. Whether there was one."""
        try:
            accepted, client = listener.accept()
        except OSError as error:  # mostly that another worker was quicker, or the client is gone
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.worker_connections = max(1, self.nr_conns)
            return False
        sock = take_over(accepted, is_for_tls=self.cfg.is_ssl)
        conn = Connection(self, self.cfg, sock, client, listener.getsockname())
        conn.set_timeout()
        self.nr_conns += 1
        self.pending_conns.append(conn)
        self.wait_to_read(conn, self.on_pending_socket_readable)
        return True

    def handle(self, conn: Connection) -> bool:
        """Answer a request, and those that the client sends at once after it. Runs in a thread."""
        while super().handle(conn):
            if self.is_draining or not self.alive or not self.asks_again(conn):
                return True
        return False

    def asks_again(self, conn: Connection) -> bool:
        """Whether the next request comes at once, and few threads are busy."""
        busy = self.nr_conns - len(self.keepalived_conns) - len(self.pending_conns) - len(self.closing)
        if busy > min(FEW, self.cfg.threads // 2):
            return False
        arrivals = select.poll()
        arrivals.register(conn.sock, select.POLLIN)
        return bool(conn.parser.unreader.buf.getvalue() or arrivals.poll(QUICK * 1000))

    def handle_request(self, req: Request, conn: Connection) -> bool:
        """Answer a request. Runs in a thread."""
        # Asked when the head of the answer is sent, and again after it: it has to be the same.
        req.should_close = cache(lambda: self.is_draining or type(req).should_close(req))
        is_kept: bool = super().handle_request(req, conn)
        del req.should_close
        conn.sock.flush()
        return is_kept

    def handle_error(self, req: Request | None, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse a request that cannot be read. What gunicorn quotes of it may be a secret."""
        if isinstance(exc, RequestTimeout):
            if req is None:  # else it was answered, and only the rest of its body does not come
                util.write_error(client, exc.code, exc.name, "")
            return
        if isinstance(exc, ParseException):
            quoted = [name for name, value in vars(exc).items() if isinstance(value, str | bytes)]
            vars(exc).update(dict.fromkeys(quoted, "(not shown)"))
        super().handle_error(req, client, addr, exc)

    def wait_to_read(self, conn: Connection, callback: Any) -> None:
        """Have the loop call ``callback(conn, socket)`` when there is something to read."""
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def linger(self, conn: Connection) -> None:
        """Close our side of a connection, and wait for the client to close its own."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.wait_to_read(conn, self.on_closing_socket_readable)
        except (OSError, ValueError):  # the client is gone, or the socket
            conn.close()
        else:
            self.nr_conns += 1
            conn.timeout = time.monotonic() + CLOSING_TIME
            self.closing.append(conn)

    def on_closing_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Ignore what still comes, until the client has closed its side."""
        try:
            is_open = os.read(client.fileno(), 64 * 1024) != b""
        except BlockingIOError:
            is_open = True
        except OSError:
            is_open = False
        if not is_open:
            self.closing.remove(conn)
            self.drop(conn)

    def murder_pending(self) -> None:
        """Close what is overdue, and what is idle longest while there is too much. Called in each turn."""
        super().murder_pending()
        while self.closing and self.closing[0].timeout <= time.monotonic():
            self.drop(self.closing.popleft())
        while self.nr_conns >= self.worker_connections:
            waiting = [each for each in (self.pending_conns, self.keepalived_conns) if each]
            if not waiting:
                break
            self.drop(min(waiting, key=lambda each: each[0].timeout).popleft())

    def drop(self, conn: Connection) -> None:
        """Close a connection that the loop waits for."""
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()
