"""What may stand where a PostgreSQL is expected: looks at how a client begins, and answers or relays it."""

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.fault_connection import HOST, build_error

# Asks the client for its password in clear text.
# https://www.postgresql.org/docs/current/protocol-message-formats.html
ASK_PASSWORD = struct.pack("!cii", b"R", 8, 3)

# What becomes of a client that has sent its first message.
Treatment = Callable[[socket.socket, bytes], None]


def refuse(sqlstate: str, text: str, *, severity: str = "FATAL", asks_password: bool = False) -> Treatment:
    """Turn everybody away with such an error, before or after their password."""

    def treat(client: socket.socket, startup: bytes) -> None:
        if asks_password:
            client.sendall(ASK_PASSWORD)
            client.recv(1)
            _read_message(client)
        client.sendall(_translate(build_error(sqlstate, text), severity))

    return treat


def fall_silent(client: socket.socket, startup: bytes) -> None:
    """Let everybody log in, and never answer a statement."""
    encoding = b"server_encoding\0UTF8\0"
    client.sendall(struct.pack("!cii", b"R", 8, 0))
    client.sendall(
        struct.pack("!ci", b"S", 4 + len(encoding)) + encoding + struct.pack("!cic", b"Z", 5, b"I")
    )
    while client.recv(65536):
        pass


def relay_without_options(port: int) -> Treatment:
    """Relay to a server, as a pooler with ``ignore_startup_parameters = options`` does."""

    def treat(client: socket.socket, startup: bytes) -> None:
        version, fields = startup[4:8], startup[8:].rstrip(b"\0").split(b"\0")
        pairs = zip(fields[::2], fields[1::2], strict=True)
        kept = b"".join(b"%b\0%b\0" % pair for pair in pairs if pair[0] != b"options") + b"\0"
        with socket.create_connection((HOST, port)) as server:
            server.sendall(struct.pack("!i", len(kept) + 8) + version + kept)
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()

    return treat


@contextmanager
def listen(treatment: Treatment) -> Iterator[int]:
    """The port on which clients are treated so, for as long as the ``with`` block lasts."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                treatment(self.request, _read_message(self.request))

    with socketserver.ThreadingTCPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _read_message(client: socket.socket) -> bytes:
    """What begins with its length."""
    head = client.recv(4, socket.MSG_WAITALL)
    [length] = struct.unpack("!i", head)
    return head + client.recv(length - 4, socket.MSG_WAITALL)


def _translate(error: bytes, severity: str) -> bytes:
    fields = error[5:].replace(b"SFATAL", f"S{severity}".encode(), 1)
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
