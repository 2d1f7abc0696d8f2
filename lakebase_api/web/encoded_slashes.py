"""Keeps a slash that is encoded in a path apart from those that divide it: a text key may hold one."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIApplication

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# What stands for it behind here: no text of PostgreSQL has this character.
KEPT_SLASH = "\x00"
ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


def keep_encoded_slashes(app: WSGIApplication) -> WSGIApplication:
    """The app with ``KEPT_SLASH`` in its paths where the client wrote ``%2F``.

    A WSGI server decodes paths as a whole; gunicorn tells in ``RAW_URI`` what was written.
    """

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        written = environ.get("RAW_URI", "").partition("?")[0]
        # What is not the whole path, as below a prefix of the server, is left as it is.
        if ENCODED_SLASH.search(written) and _decode(written) == environ["PATH_INFO"]:
            # A character of code 0 that a client wrote is refused as any that no key has.
            marked = ENCODED_SLASH.sub("%00", written.replace("%00", "%01"))
            environ["PATH_INFO"] = _decode(marked)
        return app(environ, start_response)

    return serve


def _decode(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1")
