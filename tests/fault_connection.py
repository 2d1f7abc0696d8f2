"""The two ends of one connection through the fault proxy, and what all connections share."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

HOST = "127.0.0.1"
# What a client may say first. https://www.postgresql.org/docs/16/protocol-message-formats.html
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)
YES, NO = b"S", b"N"
# What begins a query: Query, Parse, Bind. libpq sends the messages of one query together.
QUERIES = (b"Q", b"P", b"B")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends a reset
# The stand-in for Lakebase checks tokens by RADIUS; Lakebase itself says this of a refused one.
REFUSED = (b"C28000\0", b"C28P01\0"), (b"MRADIUS authentication", b"Mpassword authentication")


@dataclass
class Counts:
    """What has happened. ``open`` is of this moment, the others are of all time."""

    opened: int = 0
    open: int = 0
    turned_away: int = 0
    swallowed: int = 0


@dataclass
class Network:
    """What all connections share. ``report`` is called when a count has changed."""

    server_port: int
    tls: ssl.SSLContext | None
    report: Callable[[], None]
    delay: float = 0.0
    is_stalled: bool = False
    refusal: bytes | None = None
    clients: set["Client"] = field(default_factory=set)
    counts: Counts = field(default_factory=Counts)


class Client(asyncio.Protocol):
    """A connection of a client. Once bytes of it have vanished it stays silent, as TCP would."""

    transport: asyncio.Transport

    def __init__(self, network: Network) -> None:
        self.network = network
        self.is_silent = False
        self._server: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._unsent = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.network.clients.add(self)
        self.network.counts.opened += 1
        self.network.report()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end()

    def data_received(self, data: bytes) -> None:
        if self.swallows():
            return
        if self._server is None:
            self._unsent += data
            if self._opening is None:
                self._open()
        elif self.network.delay and data[:1] in QUERIES:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(self.network.delay, self._deliver, data)
        else:
            self._server.write(data)

    def swallows(self) -> bool:
        """Whether what has just come, from either side, vanishes."""
        if self.network.is_stalled or self.is_silent:
            self.is_silent = True
            self.network.counts.swallowed += 1
            self.network.report()
        return self.is_silent

    def end(self, reset: bool = False) -> None:
        """Close both sides: the client's with a reset, or else after it has had what is on its way."""
        if reset:
            with contextlib.suppress(OSError):  # it may have closed by itself
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()
        else:
            self.transport.close()
        if self._server:
            self._server.abort()
        self.network.clients.discard(self)
        self.network.report()

    def _deliver(self, data: bytes) -> None:
        if self._server and self in self.network.clients and not self.swallows():
            self._server.write(data)
            self.transport.resume_reading()

    def _open(self) -> None:
        if len(self._unsent) < len(SSL_REQUEST):
            return
        if self._unsent in (SSL_REQUEST, GSS_REQUEST):
            is_wanted = self._unsent == SSL_REQUEST and self.network.tls
            self._unsent = b""
            self.transport.write(YES if is_wanted else NO)
            if is_wanted:
                self._opening = asyncio.create_task(self._start_tls())
        elif self.network.tls and not self.transport.get_extra_info("ssl_object"):
            self.end()
        elif self.network.refusal:
            self.transport.write(self.network.refusal)
            self.network.counts.turned_away += 1
            self.end()
        else:
            self._opening = asyncio.create_task(self._connect())

    async def _start_tls(self) -> None:
        loop = asyncio.get_running_loop()
        assert self.network.tls
        try:
            encrypted = await loop.start_tls(self.transport, self, self.network.tls, server_side=True)
        except OSError:  # the client does not like the certificate
            encrypted = None
        if encrypted is None:  # or it went
            self.end()
            return
        self.transport, self._opening = encrypted, None
        if self._unsent:  # it came with the end of the handshake
            self._open()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            server, _ = await loop.create_connection(lambda: Server(self), HOST, self.network.server_port)
        except OSError:
            self.end()
            return
        self._server = server
        if self in self.network.clients:
            server.write(self._unsent)
        else:
            server.abort()


class Server(asyncio.Protocol):
    """The connection to PostgreSQL that a client's is relayed to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        if not self._client.swallows():
            self._client.transport.write(reword(data) if data[:1] == b"E" else data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._client.is_silent and not self._client.network.is_stalled:
            self._client.end()


def build_error(sqlstate: str, text: str) -> bytes:
    """The ErrorResponse of a server that turns a client away."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


def reword(message: bytes) -> bytes:
    """The ErrorResponse with a refused token as Lakebase words it."""
    fields = message[5:]
    if REFUSED[1][0] not in fields:
        return message
    for radius, lakebase in REFUSED:
        fields = fields.replace(radius, lakebase)
    return b"E" + struct.pack("!i", len(fields) + 4) + fields
