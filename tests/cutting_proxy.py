"""The network between a client and the service, which cuts answers after some bytes."""

import contextlib
import random
import socket
import threading
from typing import Self

READ_SIZE = 16 * 1024
HOST = "127.0.0.1"


class CuttingProxy:
    """Listens on ``port`` for as long as the ``with`` block lasts, and resets connections in mid-answer.

    After a number of bytes drawn from ``generator``, up to ``most``; how often is counted.
    """

    def __init__(self, server_port: int, generator: random.Random, most: int) -> None:
        self._server_port = server_port
        self._generator = generator
        self._most = most
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="cutting-proxy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        # One client at a time: a script asks for one thing after the other.
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        left = self._generator.randint(1, self._most)
        with socket.create_connection((HOST, self._server_port)) as server:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(READ_SIZE)
            # One answer a connection, so that its end is that of the connection.
            server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while data := server.recv(min(READ_SIZE, left)):
                client.sendall(data)
                left -= len(data)
                if not left:
                    self.cuts += 1
                    # Closing with this is a reset.
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
