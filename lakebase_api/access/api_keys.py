"""API keys: what they look like, and what is kept of them.

``lbk_``, an id that finds it, the secret and a checksum. The prefix is for whoever looks for keys that got
into the wrong place; the checksum tells a key that was not copied whole from one that is not known.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field

PREFIX = "lbk_"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 8
SECRET_BITS = 256
# Two digits at a time: each request has a checksum to look at.
PAIRS = [first + second for first in DIGITS for second in DIGITS]
# As many digits as those bits, and those of a CRC, take.
SECRET_LENGTH, CHECKSUM_LENGTH = 43, 6
FORM = re.compile(
    rf"({PREFIX}([0-9A-Za-z]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,62}")


@dataclass(frozen=True)
class KeptKey:
    """What is kept of a key. ``expires_at`` is in seconds since 1970."""

    id: str
    # SHA-256: what is random throughout is not guessed sooner for its being quick.
    digest: bytes = field(repr=False)
    name: str
    expires_at: float | None = None


def make_key() -> str:
    """A new key."""
    secret = _spell(secrets.randbits(SECRET_BITS), SECRET_LENGTH)
    body = f"{PREFIX}{make_id()}_{secret}"
    return body + compute_checksum(body)


def make_id() -> str:
    """A new id of a key."""
    return "".join(secrets.choice(DIGITS) for _ in range(ID_LENGTH))


def read_id(text: str) -> str | None:
    """The id of a key, or ``None`` if the text is none, or not whole."""
    match = FORM.fullmatch(text)
    return match[2] if match and compute_checksum(match[1]) == match[3] else None


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()


def is_same(key: str, kept: KeptKey | None) -> bool:
    """Whether the key is the one that is kept, if there is one. It takes as long whatever the answer is."""
    return hmac.compare_digest(digest(key), kept.digest if kept else bytes(32))


def compute_checksum(body: str) -> str:
    """The checksum of what is before it."""
    rest, last = divmod(zlib.crc32(body.encode()), len(PAIRS))
    first, second = divmod(rest, len(PAIRS))
    return PAIRS[first] + PAIRS[second] + PAIRS[last]


def _spell(number: int, length: int) -> str:
    """The number in base 62."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(DIGITS))
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
