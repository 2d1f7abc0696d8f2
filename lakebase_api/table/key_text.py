"""The cursor of an export: the key of a row as a text, which whoever has nothing but the row can write.

Its parts are what JSON or CSV shows of the key's columns, joined by ``/`` and percent-encoded, with ``~`` for
``%``: such a cursor is the same in a URL, whether it is encoded once more or not. Who writes one, and encodes
it as any value, needs no more of that than ``~7E`` for ``~``, and ``~2F`` for ``/`` in a part of several.
"""

import re
from urllib.parse import quote, unquote

from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind
from lakebase_api.table.values import parse_integer, parse_shown

# The parts of a key as JSON has them, which PostgreSQL reads back as they were.
KeyTexts = tuple[str, ...]

LONE_TILDE = re.compile("~(?![0-9A-Fa-f]{2})")


def spell_cursor(table: Table, key: KeyTexts) -> int | str:
    """The cursor of a key: a number where the key is one."""
    if table.has_integer_key:
        return int(key[0])
    return "/".join(_spell_part(column, text) for column, text in zip(table.key, key, strict=True))


def parse_cursor(table: Table, text: str) -> KeyTexts:
    """The key that a cursor is of. Raises ``ValueError`` with a message for the caller."""
    parts = [text] if len(table.key) == 1 else text.split("/")
    if len(parts) != len(table.key):
        raise ValueError(f"Must be {', '.join(table.key_names)} joined by '/'.")
    return tuple(_parse_part(column, part) for column, part in zip(table.key, parts, strict=True))


def _spell_part(column: Column, text: str) -> str:
    shown = text.replace("+00:00", "Z") if column.type.kind is Kind.TIMESTAMPTZ else text
    return quote(shown, safe=":").replace("~", "%7E").replace("%", "~")


def _parse_part(column: Column, text: str) -> str:
    kind, decoded = column.type.kind, _decode(text)
    if kind is Kind.INTEGER:
        return str(parse_integer(decoded))
    if kind is not Kind.TEXT:
        return str(parse_shown(column.type, decoded))
    if "\0" in decoded:
        raise ValueError("Must not have the character of code 0.")
    return decoded


def _decode(text: str) -> str:
    if LONE_TILDE.search(text):
        raise ValueError("Must have ~7E for each ~ that is not followed by two hexadecimal digits.")
    try:
        return unquote(text.replace("%", "%25").replace("~", "%"), errors="strict")
    except UnicodeDecodeError:
        raise ValueError("Must be UTF-8 where ~ stands for %.") from None
