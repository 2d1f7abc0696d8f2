"""The cursor of an export: the key of a row as a text, which whoever has nothing but the row can write.

Its parts are what JSON or CSV shows of the key's columns, joined by ``/``. In parts of a composite key that
are texts ``/`` and ``%`` are percent-encoded.
"""

from urllib.parse import unquote

from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind
from lakebase_api.table.values import parse_integer, parse_shown

# The parts of a key as JSON has them, which PostgreSQL reads back as they were.
KeyTexts = tuple[str, ...]


def spell_cursor(table: Table, key: KeyTexts) -> int | str:
    """The cursor of a key: a number where the key is one."""
    if table.has_integer_key:
        return int(key[0])
    parts = [_spell_part(column, text) for column, text in zip(table.key, key, strict=True)]
    if len(parts) == 1:
        return parts[0]
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def parse_cursor(table: Table, text: str) -> KeyTexts:
    """The key that a cursor is of. Raises ``ValueError`` with a message for the caller."""
    if len(table.key) == 1:
        return (_parse_part(table.key[0], text),)
    parts = text.split("/")
    if len(parts) != len(table.key):
        raise ValueError(f"Must be {', '.join(table.key_names)} joined by '/'.")
    return tuple(_parse_part(column, _decode(part)) for column, part in zip(table.key, parts, strict=True))


def _spell_part(column: Column, text: str) -> str:
    # A plus sign is a blank in a query if nobody encodes it.
    return text.replace("+00:00", "Z") if column.type.kind is Kind.TIMESTAMPTZ else text


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("Must be UTF-8 where it is percent-encoded.") from None


def _parse_part(column: Column, text: str) -> str:
    kind = column.type.kind
    if kind is Kind.INTEGER:
        return str(parse_integer(text))
    if kind is Kind.TEXT:
        if "\0" in text:
            raise ValueError("Must not have the character of code 0.")
        return text
    return str(parse_shown(column.type, text))
