"""Takes from trusted proxies where the client reaches the service."""

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# What a proxy says of the client's URL, and the part of the WSGI request it stands for. What is not of its
# form is no better than absent. A port comes with the host, as it does in the client's own Host; proxies that
# say it in X-Forwarded-Port as well often mean their own.
FORWARDED = (
    ("HTTP_X_FORWARDED_PROTO", "wsgi.url_scheme", re.compile(r"https?")),
    ("HTTP_X_FORWARDED_HOST", "HTTP_HOST", re.compile(r"([A-Za-z0-9.-]+|\[[A-Fa-f0-9:.]+\])(:[0-9]{1,5})?")),
    ("HTTP_X_FORWARDED_PREFIX", "SCRIPT_NAME", re.compile(r"(/[A-Za-z0-9._~!$&'()*+;=:@-]+)*/?")),
)


def trust_proxies(app: WSGIApplication, hops: int, *, scheme: str | None = None) -> WSGIApplication:
    """A WSGI application for which scheme, host and path prefix are those that the client sees.

    ``hops`` proxies stand in front, each of which adds a value to the ``X-Forwarded-`` headers it sets: the
    one that counts is the outermost's, and what stands before it was sent by the client. ``scheme`` is for
    when none says it. As werkzeug's ProxyFix, which takes any text for a scheme, a host or a prefix.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if scheme:
            environ["wsgi.url_scheme"] = scheme
        for header, part, form in FORWARDED:
            if text := environ.get(header):
                values = text.split(",")
                value = values[-hops].strip() if len(values) >= hops else ""
                if value and form.fullmatch(value):
                    environ[part] = value.rstrip("/")
        return app(environ, start_response)

    return serve
