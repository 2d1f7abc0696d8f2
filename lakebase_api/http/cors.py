"""Lets pages of other origins call the API from a browser (CORS).

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re

from flask import Flask, Response
from flask_cors import CORS

from lakebase_api.settings import Settings

# What scripts of a page may read besides Content-Type, Content-Length and the like.
EXPOSED = (
    "Age",
    "Allow",
    "Cache-Status",
    "Content-Disposition",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "WWW-Authenticate",
    "X-Data-As-Of",
    "X-Data-Version",
    "X-Process-Time",
    "X-Read-After",
    "X-Request-Id",
)


def allow_origins(app: Flask, settings: Settings) -> None:
    """Let the origins of the settings in, if there are any, each to the letter."""
    if not settings.cors_origins:
        return
    is_open = "*" in settings.cors_origins
    # Of texts flask-cors takes some for patterns, and then looks at the beginning of an origin only.
    exact = [re.compile(rf"{re.escape(origin)}\Z") for origin in settings.cors_origins]
    CORS(
        app,
        origins="*" if is_open else exact,
        send_wildcard=is_open,
        supports_credentials=settings.cors_credentials,
        expose_headers=list(EXPOSED),
        vary_header=False,
    )
    if not is_open:
        app.after_request(_vary_by_origin)


def _vary_by_origin(response: Response) -> Response:
    """An answer without leave is not to be kept for a page that has it: flask-cors says so of others only."""
    response.vary.add("Origin")
    return response
