"""What the headers of a change ask for: preconditions, repetition, the form of the answer."""

import re
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from werkzeug.http import parse_dict_header

from lakebase_api.http.validation import refuse

ANY_ETAG = "*"
WEAK_ETAG = (
    " A weak one, which begins with W/, never is. A proxy that compresses answers makes them weak: send it "
    "without the W/."
)
# A string of structured fields: printable ASCII, with `\` before `"` and `\`.
# https://www.rfc-editor.org/rfc/rfc9651#name-strings
GREATEST_KEY_LENGTH = 255
QUOTED_KEY = rf'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){{1,{GREATEST_KEY_LENGTH}}})"'


@dataclass(frozen=True)
class Conditions:
    """The conditions of one change. ``if_match`` has the ETags of which one must be the current one.

    ``has_weak_etag``: whether there were weak ones too, which never are.
    """

    if_match: list[str] | None
    has_weak_etag: bool
    idempotency_key: str | None
    wants_minimal: bool


def read_conditions() -> Conditions:
    """Those of the current request. Problems: an Idempotency-Key that is none."""
    preferences = parse_dict_header(request.headers.get("Prefer", ""))
    has_weak_etag = bool(request.if_match.as_set(include_weak=True) - request.if_match.as_set())
    wants_minimal = preferences.get("return") == "minimal"
    return Conditions(_read_if_match(), has_weak_etag, _read_idempotency_key(), wants_minimal)


def answer_minimally(response: Response) -> Response:
    """The response without its body, as the caller prefers. https://www.rfc-editor.org/rfc/rfc7240"""
    minimal = Response(status=204)
    for name in ("ETag", "Idempotent-Replayed"):
        if name in response.headers:
            minimal.headers[name] = response.headers[name]
    del minimal.headers["Content-Type"]
    minimal.headers["Preference-Applied"] = "return=minimal"
    return minimal


def _read_if_match() -> list[str] | None:
    if "If-Match" not in request.headers:
        return None
    etags = request.if_match
    if etags.star_tag:
        return [ANY_ETAG]
    # A weak ETag never matches here: https://www.rfc-editor.org/rfc/rfc9110#name-if-match
    # An asterisk in quotes is an ETag, which no order has.
    return sorted(etag for etag in etags.as_set(include_weak=False) if etag and etag != ANY_ETAG)


def _read_idempotency_key() -> str | None:
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    quoted = re.fullmatch(QUOTED_KEY, text.strip())
    if not quoted:
        detail = f'Must be a string in double quotes, of 1 to {GREATEST_KEY_LENGTH} characters: "…".'
        refuse([{"in": "header", "name": "Idempotency-Key", "detail": detail}])
    return re.sub(r"\\(.)", r"\1", quoted[1])


def _header(name: str, description: str, **schema: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "description": description, "schema": {"type": "string", **schema}}


IF_MATCH = _header("If-Match", "Change the order only if this is its `ETag`, or one of these.")
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "A random string in double quotes that names this change, such as a UUID. Sent again within 24 hours, "
    "the change is not made again: the first answer is given, with `Idempotent-Replayed: true`.",
    pattern=f'^"[ !#-Z^-~]{{1,{GREATEST_KEY_LENGTH}}}"$',
)
PREFER = _header("Prefer", "`return=minimal`: answer 204, without a body.")
