"""TCP ports of this machine: one that is free, and whether a given one is."""

import contextlib
import errno
import random
import socket

from lakebase_api.local.failure import LocalFailure

HOST = "127.0.0.1"
# Below what systems hand out to clients: in an outage one could get this very port, or connect to itself.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port on which nobody listens. Raises LocalFailure when a hundred tries find none."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                candidate.bind((HOST, port))
                return port
    raise LocalFailure(f"No port of {PORTS.start} to {PORTS.stop} is free on {HOST}: end some servers.")


def require_free_port(port: int) -> None:
    """Raise LocalFailure if somebody listens on the port of localhost, by any of its addresses."""
    for family, kind, _, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind) as candidate:
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                candidate.bind(address)
        except PermissionError:
            raise LocalFailure(f"Port {port} needs root: try `make run PORT=8001`.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:  # others: a machine that has no such address
                raise LocalFailure(f"Port {port} is taken: try `make run PORT={port + 1}`.") from None
