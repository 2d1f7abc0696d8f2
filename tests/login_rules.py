"""Who may log in to an embedded server, changed while it runs."""

import os
import signal
import socket
import struct
from collections.abc import Sequence

from lakebase_api.local.cluster import HBA, write_hba
from lakebase_api.local.postgres import PID_FILE, EmbeddedPostgres, read_lines
from lakebase_api.local.server_log import LogExcerpt
from tests.waiting import PATIENCE

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def replace_hba(server: EmbeddedPostgres, lines: Sequence[str] = HBA) -> None:
    """Make these lines pg_hba.conf, in force on return. Raises ValueError if the server rejects them."""
    write_hba(server.data, lines)
    log = LogExcerpt(server.log_path)
    os.kill(int(read_lines(server.data / PID_FILE)[0]), signal.SIGHUP)
    # The server answers this only after it has done what the signal asks: it does one thing at a time.
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        connection.sendall(SSL_REQUEST)
        connection.recv(1)
    news = log.read()
    if "not reloaded" in news or "contains errors" in news:
        raise ValueError(f"PostgreSQL does not take the new configuration: {news.strip()}")
