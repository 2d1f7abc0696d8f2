"""Which trace a request is part of, as W3C Trace Context has it.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

import random
import re

import msgspec

# Of later versions what comes behind these four parts is not known, and does not count. There is no version
# ff, and no id of zeros alone. Letters are small.
TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<parent_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)
SAMPLED = 0x01


class TraceContext(msgspec.Struct, frozen=True):
    """The trace of a request. Ids are hexadecimal, of 32 and 16 digits.

    ``parent_id`` is the caller's span, ``None`` where the trace begins here; ``is_sampled`` whether the
    caller records it.
    """

    trace_id: str
    parent_id: str | None = None
    is_sampled: bool = False


def new_id() -> str:
    """A new id. It is to be unlike others, not hard to guess: the system need not be asked for it."""
    return f"{random.getrandbits(128):032x}"


def read_traceparent(text: str) -> TraceContext | None:
    """The trace that the header names; ``None`` where it is not valid, and so counts as absent."""
    found = TRACEPARENT.fullmatch(text)
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return TraceContext(found["trace_id"], found["parent_id"], bool(int(found["flags"], 16) & SAMPLED))
