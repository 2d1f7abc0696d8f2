"""Cuts secrets out of what people read: lines of the log and of `doctor`, and the texts of errors.

What is secret is a matter of the whole process, as its log is: so this, like `logging`, is state of a module.
"""

import json
import math
import threading
import time
from urllib.parse import quote, quote_plus

MASK = "***"
# A shorter one stands in every other line by chance; to cut it out would tell it.
SHORTEST = 4

_lock = threading.Lock()
# The forms in which each secret may be written, and when it ends, by `time.monotonic()`.
_kept: dict[str, tuple[set[str], float]] = {}
_forms: tuple[str, ...] = ()


def keep_secret(secret: str, life: float = math.inf) -> None:
    """Cut this out of every text from now on, for ``life`` seconds. Safe to call from any thread."""
    global _forms
    if len(secret) < SHORTEST:
        return
    now = time.monotonic()
    with _lock:
        for old in [kept for kept, (_, ends) in _kept.items() if ends < now]:
            del _kept[old]
        ends = max(now + life, _kept[secret][1] if secret in _kept else 0)
        _kept[secret] = (_find_forms(secret), ends)
        # Longer ones first: one may be a part of another.
        forms = {form for spelled, _ in _kept.values() for form in spelled}
        _forms = tuple(sorted(forms, key=len, reverse=True))


def redact(text: str) -> str:
    """The text with ``***`` in place of every secret. Takes about a microsecond; any thread may call it."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    return text


def _find_forms(secret: str) -> set[str]:
    """As it is, and as `repr`, URLs and JSON write it; most secrets look the same in all of them."""
    forms = {
        secret,
        repr(secret)[1:-1],
        repr(secret.encode(errors="surrogateescape"))[2:-1],
        quote(secret, errors="surrogateescape"),
        quote(secret, safe="", errors="surrogateescape"),
        quote_plus(secret, errors="surrogateescape"),
    }
    # In lines of JSON all of them may be written so once more.
    return {
        *forms,
        *(json.dumps(form, ensure_ascii=is_ascii)[1:-1] for form in forms for is_ascii in (False, True)),
    }
