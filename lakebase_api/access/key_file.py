"""API keys in a file, for hosts that keep secrets of their own: a line for each, and none of a secret.

``id:digest:name`` or ``id:digest:name:expires``: the SHA-256 of the key in hexadecimal digits, and a moment
of ISO 8601. Empty lines and those that begin with ``#`` do not count.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from lakebase_api.access.api_keys import ID_LENGTH, NAME, KeptKey

ID = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")
DIGEST = re.compile(r"[0-9a-f]{64}")


class WrongLines(Exception):
    """Lines of the file are no keys. The text says which, and why, and nothing of what is in them."""


def read_key_file(path: str) -> Mapping[str, KeptKey]:
    """The keys of a file by their ids. Raises ``OSError`` and ``WrongLines``."""
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise WrongLines(f"{path}: is not UTF-8") from None
    keys: dict[str, KeptKey] = {}
    mistakes = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key = _read_line(line.strip())
            if key.id in keys:
                raise ValueError("has an id that is there already")
            keys[key.id] = key
        except ValueError as error:
            mistakes.append(f"{path} line {number}: {error}")
    if mistakes:
        raise WrongLines("; ".join(mistakes))
    return keys


def write_line(key: KeptKey) -> str:
    """The line of the file that has the key."""
    return ":".join(_spell_parts(key))


def _spell_parts(key: KeptKey) -> Iterator[str]:
    yield from (key.id, key.digest.hex(), key.name)
    if key.expires_at is not None:
        yield datetime.fromtimestamp(key.expires_at, UTC).isoformat(timespec="seconds")


def _read_line(line: str) -> KeptKey:
    """Raises ``ValueError`` with what is wrong, of which nothing is a part of the line."""
    parts = line.split(":", 3)
    if len(parts) < 3:
        raise ValueError("is not id:digest:name")
    if not ID.fullmatch(parts[0]):
        raise ValueError("has no id of a key")
    if not DIGEST.fullmatch(parts[1]):
        raise ValueError("has no SHA-256 of a key")
    if not NAME.fullmatch(parts[2]):
        raise ValueError("has no name of letters, digits and @._-")
    return KeptKey(parts[0], bytes.fromhex(parts[1]), parts[2], _read_moment(parts[3:]))


def _read_moment(parts: list[str]) -> float | None:
    if not parts:
        return None
    try:
        moment = datetime.fromisoformat(parts[0])
    except ValueError:
        raise ValueError("has an expiry that is no moment of ISO 8601") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
