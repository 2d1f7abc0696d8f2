"""Bytes sent to a server as they are, and the statuses that come back."""

import re
import socket
from collections.abc import Iterable

HOST = "127.0.0.1"
READ_SIZE = 64 * 1024
# Seconds without a byte after which no further answer is expected.
QUIET = 0.2
STATUS = re.compile(rb"HTTP/1\.[01] ([2-9]\d\d) ")


def exchange(port: int, pieces: Iterable[bytes], patience: float, *, hang_up: bool = True) -> list[int]:
    """The statuses of the answers to these bytes, until the server closes; none if it closes without one.

    With ``hang_up`` our side is closed when all is sent. Without it a server that has answered may rightly
    wait for more, and is not waited for. Raises ``TimeoutError`` when nothing happens for ``patience``
    seconds.
    """
    received = bytearray()
    with socket.create_connection((HOST, port), patience) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            if hang_up:
                client.shutdown(socket.SHUT_WR)
            while data := client.recv(READ_SIZE):
                received += data
                client.settimeout(patience if hang_up else QUIET)
        except TimeoutError:
            if hang_up or not received:
                raise
        except (ConnectionResetError, BrokenPipeError):
            pass
    return [int(status) for status in STATUS.findall(received)]
