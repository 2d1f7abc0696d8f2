"""Which of the media types that an answer can have the caller prefers.

https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from flask import request

from lakebase_api.http.json_response import JSON

# For caches, in every answer that was negotiated: response.headers.add(*VARY). What a caller may see is for
# rights to say, and a browser may have been another one's before.
VARY = ("Vary", "Accept, Authorization")

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
QUALITY = re.compile(r"0?\.[0-9]+|[01]\.?|1\.0+")
ANYTHING = "*/*"
# Who takes one of these can read JSON. Not who takes problem+json: that is for errors, whatever the answer
# was to be, and stands beside text/csv as well.
LIKE_JSON = re.compile(r"text/json|application/(?!problem\+)[^/]+\+json")


class Range(NamedTuple):
    """A range of media types, and how much it is preferred. The more specific one decides."""

    specificity: int
    quality: float
    name: str


def negotiate(*offered: str) -> str:
    """The media type, of those offered, that the current request prefers; of equal ones the first.

    The first one as well where the request takes none of them: RFC 9110 allows to disregard the header, as
    operations do that have one type of answer. Generated clients may name one type of all that an operation
    answers with, errors included. An answer that depends on it has the header ``VARY``.
    """
    return _choose(request.environ.get("HTTP_ACCEPT", ""), offered)


# Callers have few ways to say it: each is read once.
@lru_cache(maxsize=256)
def _choose(accept: str, offered: tuple[str, ...]) -> str:
    ranges = list(_read_ranges(accept))
    return max(offered, key=lambda media_type: _rate(media_type, ranges))


def _read_ranges(accept: str) -> Iterator[Range]:
    """Those of the header. One that cannot be read says nothing."""
    # Only parameters of media types are quoted, and they are not looked at: a caller that asks for JSON with
    # some charset gets JSON. werkzeug's accept_mimetypes would not match it, nor read q=.2 or the bare * that
    # Java sends.
    for item in QUOTED.sub("", accept).lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        if not QUALITY.fullmatch(quality):
            continue
        is_bare = not parameters or parameters[0].startswith("q=")
        if name in ("*", ANYTHING):
            yield Range(0, float(quality), ANYTHING)
        elif LIKE_JSON.fullmatch(name):
            yield Range(1, float(quality), JSON)
        else:
            yield Range(1 if name.endswith("/*") else 2 + is_bare, float(quality), name)


def _rate(media_type: str, ranges: list[Range]) -> float:
    names = (media_type, f"{media_type.partition('/')[0]}/*", ANYTHING)
    matching = (each for each in ranges if each.name in names)
    return max(matching, default=Range(0, 0.0, "")).quality
