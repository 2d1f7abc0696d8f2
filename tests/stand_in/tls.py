"""The TLS in front of Lakebase: a proxy that speaks TLS to clients and plain TCP to PostgreSQL."""

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import trustme

T = TypeVar("T")

# The first message of a client that wants TLS, and the server's yes.
# https://www.postgresql.org/docs/16/protocol-message-formats.html
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
YES = b"S"
CHUNK = 1 << 16


class TlsProxy:
    """Listens on a port of 127.0.0.1 with a certificate for ``localhost``; a context manager.

    A client that does not ask for TLS is dropped, as Lakebase does.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._authority = trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("localhost").configure_cert(self._context)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-proxy")
        self._clients: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._listener = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def write_authority(self, file: Path) -> Path:
        """Write the certificate of the authority that signed the server's; returns the file."""
        self._authority.cert_pem.write_to_path(str(file))
        return file

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _close(self) -> None:
        self._listener.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        try:
            # Clients and servers come and go in every way there is.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            writer.transport.abort()
            self._clients.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
            return
        writer.write(YES)
        await writer.drain()
        await writer.start_tls(self._context)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            ways = [
                asyncio.create_task(_copy(reader, server_writer)),
                asyncio.create_task(_copy(server_reader, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            server_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
