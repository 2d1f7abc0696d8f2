"""Cursors of lists that are not keys: a token that says where and which way.

A token is bound to the order and filter of its list, and to the table, by an HMAC (RFC 2104).
"""

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from lakebase_api.settings import Settings
from lakebase_api.sql.page import Position
from lakebase_api.sql.predicates import Predicates
from lakebase_api.sql.sorting import Sort
from lakebase_api.table.declaration import Table
from lakebase_api.table.types import NUMBERS, Kind

# Bytes of the HMAC that a token carries: RFC 2104 asks for half of it at the least.
SEAL_SIZE = 16
# A token begins with it, so that it never looks like a key.
MARK = "c"

# A value is a text in the token, and in the statement too, where PostgreSQL reads it as of the column's own
# type: a `real` of 0.1 equals no other number of 0.1.
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]
Number = Annotated[
    str, msgspec.Meta(pattern=r"^(-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?|-?[Ii]nf(inity)?|[Nn]a[Nn])\Z")
]
Date = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{4,7}-[0-9]{2}-[0-9]{2}( BC)?|-?infinity)\Z")]
Time = Annotated[str, msgspec.Meta(pattern=r"^([0-9:. +-]+( BC)?|-?infinity)\Z")]
TYPES: dict[Kind, Any] = {
    **dict.fromkeys(NUMBERS, Number),
    Kind.BOOLEAN: Annotated[str, msgspec.Meta(pattern=r"^(True|False)\Z")],
    Kind.DATE: Date,
    Kind.TIME: Time,
    Kind.TIMESTAMP: Time,
    Kind.TIMESTAMPTZ: Time,
}


class ForeignCursor(Exception):
    """The cursor is not of this list, or was altered."""


class CursorCodec:
    """Writes and reads tokens of one table's lists. Immutable and so safe to share between threads."""

    def __init__(self, secret: bytes, table: Table) -> None:
        self._secret = secret
        self._table = table
        self._name = (table.name, table.schema, table.source)
        # Another one with another secret, which it does not tell.
        self.mark = hmac.digest(secret, b"which secret", hashlib.sha256).hex()[:16]
        self._find_content_type = lru_cache(256)(self._build_content_type)

    def write(self, position: Position, sort: Sort, which: Predicates) -> str:
        """The token of a position in a list."""
        values = [None if value is None else str(value) for value in position.values]
        content = msgspec.json.encode((position.is_backward, values or None))
        return _spell(self._seal(content, sort, which) + content)

    def read(self, token: str, sort: Sort, which: Predicates) -> Position:
        """The position of a token. Raises ``ForeignCursor`` if it is none of this list."""
        try:
            sealed = base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4))
            seal, content = sealed[:SEAL_SIZE], sealed[SEAL_SIZE:]
            # Spelled again, since not every bit of the last character counts.
            if _spell(sealed) != token or not hmac.compare_digest(seal, self._seal(content, sort, which)):
                raise ForeignCursor
            is_backward, row = msgspec.json.decode(content, type=self._find_content_type(sort))
        except (ValueError, msgspec.MsgspecError):
            raise ForeignCursor from None
        return Position(row or (), is_backward)

    def _seal(self, content: bytes, sort: Sort, which: Predicates) -> bytes:
        bound = msgspec.json.encode((self._name, sort, which.shape, which.values))
        digest = hmac.digest(self._secret, len(bound).to_bytes(4) + bound + content, hashlib.sha256)
        return digest[:SEAL_SIZE]

    def _build_content_type(self, sort: Sort) -> Any:
        """Whether it is backward, and a value of each of the sort's columns, or none."""
        row = tuple.__class_getitem__(tuple(self._find_type(key.column) for key in sort))
        return tuple.__class_getitem__((bool, row | None))

    def _find_type(self, name: str) -> Any:
        known = TYPES.get(self._table.by_name[name].type.kind, Text)
        return known if name in self._table.key_names else known | None


def derive_secret(settings: Settings) -> bytes:
    """What follows from ``CURSOR_SECRET``, the same on every host; else what nobody knows.

    The app is made before gunicorn forks, so that its workers share it. Whoever gets a cursor may try secrets
    on it: a password has no part in this, and each try at a secret that a person chose takes long.
    """
    if settings.cursor_secret is None:
        return secrets.token_bytes(32)
    # 16 MB and some 50 ms, once. https://www.rfc-editor.org/rfc/rfc7914
    return hashlib.scrypt(
        settings.cursor_secret.encode(), salt=b"cursors of lists", n=2**14, r=8, p=1, dklen=32
    )


def _spell(sealed: bytes) -> str:
    return MARK + base64.urlsafe_b64encode(sealed).decode().rstrip("=")
