"""Which of the forms that an answer can have the caller prefers.

https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from flask import request

from lakebase_api.web import problem_types as kinds
from lakebase_api.web.problems import Problem

# For caches, in every answer that was negotiated: response.headers.add(*VARY).
VARY = ("Vary", "Accept")

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
QUALITY = re.compile(r"0?\.[0-9]+|[01]\.?|1\.0+")
ANYTHING = "*/*"


class Range(NamedTuple):
    """A range of media types, and how much it is preferred. The more specific one decides."""

    specificity: int
    quality: float
    name: str


def negotiate(*offered: str) -> str:
    """The media type, of those offered, that the current request prefers; of equal ones the first.

    Problems: it takes none of them. An answer that depends on it has the header ``VARY``.
    """
    accept = request.environ.get("HTTP_ACCEPT")
    if not accept or accept == ANYTHING:
        return offered[0]
    chosen = _choose(accept, offered)
    if chosen is None:
        raise Problem(kinds.NOT_ACCEPTABLE, f"The answer can be {' or '.join(offered)}.")
    return chosen


# Callers have few ways to say it: each is read once.
@lru_cache(maxsize=256)
def _choose(accept: str, offered: tuple[str, ...]) -> str | None:
    ranges = list(_read_ranges(accept))
    if not ranges:
        return offered[0]
    qualities = {media_type: _rate(media_type, ranges) for media_type in offered}
    best = max(offered, key=lambda media_type: qualities[media_type])
    return best if qualities[best] > 0 else None


def _read_ranges(accept: str) -> Iterator[Range]:
    """Those of the header. One that cannot be read says nothing."""
    # Only parameters of media types are quoted, and they are not looked at: a caller that asks for JSON with
    # some charset gets JSON. werkzeug's best_match would refuse it.
    for item in QUOTED.sub("", accept).lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        name = ANYTHING if name == "*" else name  # as Java's own client has it
        if name.count("/") == 1 and QUALITY.fullmatch(quality):
            is_bare = not parameters or parameters[0].startswith("q=")
            specificity = 0 if name == ANYTHING else 1 if name.endswith("/*") else 2 + is_bare
            yield Range(specificity, float(quality), name)


def _rate(media_type: str, ranges: list[Range]) -> float:
    names = (media_type, f"{media_type.partition('/')[0]}/*", ANYTHING)
    matching = (each for each in ranges if each.name in names)
    return max(matching, default=Range(0, 0.0, "")).quality
