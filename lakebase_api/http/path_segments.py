"""Keeps a slash within a segment of a path apart from those between segments."""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Stands for an encoded slash in a path that is decoded: a character that no text has.
# https://www.unicode.org/faq/private_use.html#noncharacters
SLASH = "\ufdd0"
ENCODED = re.compile(r"%2[Ff]")


def keep_encoded_slashes(app: WSGIApplication) -> WSGIApplication:
    """A WSGI application that is given ``SLASH`` in place of each encoded slash of the path.

    WSGI decodes a path before it can be split, so that a key that holds a slash would be two segments.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raw = environ.get("RAW_URI", "").partition("?")[0]
        if ENCODED.search(raw):
            marked = unquote_to_bytes(ENCODED.sub(quote(SLASH), raw)).decode("latin-1")
            path: str = environ.get("PATH_INFO", "")
            # The path that was asked for may have lost its beginning on the way here.
            beginning = len(unquote_to_bytes(raw)) - len(path.encode("latin-1"))
            if not beginning and SLASH.encode().decode("latin-1") not in path:
                environ["PATH_INFO"] = marked
        return app(environ, start_response)

    return serve


def restore_slashes(segment: str) -> str:
    """A segment as it was meant."""
    return segment.replace(SLASH, "/")
