"""Takes from trusted proxies where the client reaches the service, and from where; allows some hosts only."""

import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import unquote_to_bytes
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from lakebase_api.addresses import AUTHORITY

# Characters of a path as they stand in a URL, those beyond ASCII also as they are: of what is encoded no
# slash, which would be another path, and no control character.
# https://www.rfc-editor.org/rfc/rfc3986#section-3.3
SEGMENT = r"(?:[A-Za-z0-9._~!$&'()*+;=:@-]|%(?!2[Ff]|[01]|7[Ff])[0-9A-Fa-f]{2}|[\x80-\xff])+"
# What a proxy says of the client's URL, and the part of the WSGI request it stands for. A port comes with the
# host, as it does in the client's own Host; proxies that say it in X-Forwarded-Port often mean their own.
FORWARDED = (
    ("HTTP_X_FORWARDED_PROTO", "wsgi.url_scheme", re.compile(r"https?", re.IGNORECASE)),
    ("HTTP_X_FORWARDED_HOST", "HTTP_HOST", AUTHORITY),
    ("HTTP_X_FORWARDED_PREFIX", "SCRIPT_NAME", re.compile(rf"(?:/{SEGMENT})*/?")),
)
# Who asks, as proxies say it: in a list to which each adds whom it was asked by, else as the nearest says.
ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")


def trust_proxies(app: WSGIApplication, hops: int, *, scheme: str | None = None) -> WSGIApplication:
    """A WSGI application for which scheme, host and path prefix are those that the client sees.

    ``REMOTE_ADDR`` is the address of the client.

    ``hops`` proxies stand in front, each of which adds a value to the ``X-Forwarded-`` headers it sets: the
    one that counts is the outermost's, and what stands before it was sent by the client. ``scheme`` is for
    when none says it. As werkzeug's ProxyFix, which takes any text for a scheme, a host or a prefix.

    When one of the three is not of its form none is taken: a mixture of the proxy's URL and ours leads
    nowhere. If a host is among them, clients are not at ours: the request then has none.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if scheme:
            environ["wsgi.url_scheme"] = scheme
        if address := _find_address(environ, hops):
            environ["REMOTE_ADDR"] = address
        said = list(_find_said(environ, hops))
        if all(form.fullmatch(value) for _, value, form in said):
            for part, value, _ in said:
                environ[part] = _read(part, value)
        elif any(part == "HTTP_HOST" for part, _, _ in said):
            environ.pop("HTTP_HOST", None)
        return app(environ, start_response)

    return serve


def allow_hosts(app: WSGIApplication, allowed: Collection[str]) -> WSGIApplication:
    """A WSGI application whose requests have a host only if it is one of these, at their port or any.

    They are in lower case.
    """
    known = set(allowed)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = AUTHORITY.fullmatch(environ.get("HTTP_HOST", "").lower())
        if not found or known.isdisjoint((found[0], found[1])):
            environ.pop("HTTP_HOST", None)
        return app(environ, start_response)

    return serve


def _find_said(environ: WSGIEnvironment, hops: int) -> Iterator[tuple[str, str, re.Pattern[str]]]:
    for header, part, form in FORWARDED:
        if text := environ.get(header):
            values = text.split(",")
            if len(values) >= hops and (value := values[-hops].strip()):
                yield part, value, form


def _find_address(environ: WSGIEnvironment, hops: int) -> str | None:
    values = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    address = values[-hops].strip() if len(values) >= hops else ""
    address = address or environ.get("HTTP_X_REAL_IP", "")
    return address if ADDRESS.fullmatch(address) else None


def _read(part: str, value: str) -> str:
    if part == "SCRIPT_NAME":
        # WSGI has the bytes of a path as characters.
        return unquote_to_bytes(value.rstrip("/").encode("latin-1")).decode("latin-1")
    return value.lower() if part == "wsgi.url_scheme" else value
