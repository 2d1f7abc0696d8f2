"""A RADIUS server (RFC 2865) that knows one question: may this user log in with this password?

PostgreSQL's ``radius`` method asks it at each login; that makes many short-lived passwords for
one role possible, which PostgreSQL's own password store is not able to hold.
"""

import hashlib
import secrets
import socketserver
import struct
import threading
from collections.abc import Callable
from typing import Self

_ACCESS_REQUEST, _ACCESS_ACCEPT, _ACCESS_REJECT = 1, 2, 3
_USER_NAME, _USER_PASSWORD = 1, 2
_HEADER = struct.Struct("!BBH16s")
_BLOCK = 16


class RadiusServer:
    """Answers on a free UDP port of 127.0.0.1, in a thread of its own, until closed."""

    def __init__(self, may_log_in: Callable[[str, str], bool]) -> None:
        self.secret = secrets.token_hex(16)
        self._may_log_in = may_log_in
        self._server = _DatagramServer(self._answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="stand-in-radius"
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The UDP port."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; the thread has ended when this returns."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, packet: bytes) -> bytes | None:
        """The reply to an Access-Request; None for what is not one (RFC 2865 drops it in silence)."""
        attributes = _attributes(packet)
        if attributes is None or not {_USER_NAME, _USER_PASSWORD} <= attributes.keys():
            return None
        _, identifier, _, authenticator = _HEADER.unpack_from(packet)
        password = _reveal(attributes[_USER_PASSWORD], authenticator, self.secret.encode())
        user = attributes[_USER_NAME].decode(errors="replace")
        admitted = self._may_log_in(user, password.decode(errors="replace"))
        return _reply(
            _ACCESS_ACCEPT if admitted else _ACCESS_REJECT, identifier, authenticator, self.secret.encode()
        )


class _DatagramServer(socketserver.UDPServer):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        super().__init__(("127.0.0.1", 0), _DatagramHandler)
        self.answer = answer


class _DatagramHandler(socketserver.BaseRequestHandler):
    server: _DatagramServer

    def handle(self) -> None:
        packet, sock = self.request
        if reply := self.server.answer(packet):
            sock.sendto(reply, self.client_address)


def _attributes(packet: bytes) -> dict[int, bytes] | None:
    """The attributes of a well-formed Access-Request by type, else None."""
    if len(packet) < _HEADER.size:
        return None
    code, _, length, _ = _HEADER.unpack_from(packet)
    if code != _ACCESS_REQUEST or not _HEADER.size <= length <= len(packet):
        return None
    found, rest = {}, packet[_HEADER.size : length]
    while rest:
        if len(rest) < 2 or not 2 <= rest[1] <= len(rest):
            return None
        found[rest[0]] = rest[2 : rest[1]]
        rest = rest[rest[1] :]
    return found


def _reveal(hidden: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """Undo the hiding of User-Password (RFC 2865, 5.2): XOR with a chain of MD5 blocks."""
    clear, previous = b"", authenticator
    for start in range(0, len(hidden), _BLOCK):
        block = hidden[start : start + _BLOCK]
        mask = hashlib.md5(secret + previous, usedforsecurity=False).digest()
        clear += bytes(a ^ b for a, b in zip(block, mask, strict=False))
        previous = block
    return clear.rstrip(b"\0")


def _reply(code: int, identifier: int, authenticator: bytes, secret: bytes) -> bytes:
    """A reply without attributes, signed with the response authenticator (RFC 2865, 3)."""
    unsigned = _HEADER.pack(code, identifier, _HEADER.size, authenticator)
    signature = hashlib.md5(unsigned + secret, usedforsecurity=False).digest()
    return _HEADER.pack(code, identifier, _HEADER.size, signature)
