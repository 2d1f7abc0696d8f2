"""Serves the OpenAPI document, and the page that shows it with assets of our own host."""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import flask_swagger_ui
from flask import Blueprint, Flask, Response, request

from lakebase_api import __version__
from lakebase_api.access.rights import Need
from lakebase_api.http.base_path import API_BASE
from lakebase_api.http.json_response import JSON
from lakebase_api.http.openapi import Document
from lakebase_api.http.pages import ASSETS_POLICY, protect
from lakebase_api.http.problem_types import ProblemType
from lakebase_api.http.problems import CONTENT_TYPE
from lakebase_api.http.service_name import describe_service, name_service
from lakebase_api.table.declaration import Table

ASSETS_PATH = "/docs/assets"
ASSETS_ENDPOINT = "docs-assets.static"
PAGE_ENDPOINT = "api-docs.openapi_swagger_ui"
DOCUMENT_ENDPOINT = "api-docs.openapi_json"
# From the page one can write: nothing may run in it that is not its own, and no other page may show it.
# Swagger UI needs styles in line and pictures in its style sheet. https://www.w3.org/TR/CSP3/
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ICON = f'<link href="{ASSETS_PATH.removeprefix("/")}/favicon-32x32.png" rel="icon">'
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

# Behind what is served.
DESCRIPTION = f"""Every path is served at `/` and at `{API_BASE}`, which is
where callers with a bearer token reach it on Databricks Apps.

Errors are `{CONTENT_TYPE}` (RFC 9457). A 503 says in `Retry-After` after how many seconds to try again,
unless it lasts until somebody mends what is wrong.

A request has 30 seconds, or fewer if its `X-Request-Timeout` says so. An export has longer.
"""


def register_documentation(
    app: Flask,
    tables: Sequence[Table],
    problem_types: Mapping[str, ProblemType],
    open_needs: Collection[Need],
) -> Document:
    """Serve the document at ``/openapi.json`` and its page at ``/docs``. Gives it, for parts to be added.

    ``open_needs`` are those of operations that may be asked for without a word who calls.
    """
    app.config.update(
        API_TITLE=name_service(tables),
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        # Relative to the page: a proxy may have the service below a path.
        OPENAPI_SWAGGER_UI_URL=f"{ASSETS_PATH.removeprefix('/')}/",
        # Without this the page asks a public service to validate the document.
        OPENAPI_SWAGGER_UI_CONFIG={
            "validatorUrl": None,
            "displayRequestDuration": True,
            "deepLinking": True,
        },
        API_SPEC_OPTIONS={
            "info": {
                "description": f"\n{describe_service(tables)}. {DESCRIPTION}",
                "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
            },
        },
    )
    assets = Path(flask_swagger_ui.__file__).parent / "dist"
    served = Blueprint("docs-assets", __name__, static_folder=assets, static_url_path=ASSETS_PATH)
    # Among them are pages of Swagger UI's own, which nobody needs.
    served.after_request(lambda response: protect(response, ASSETS_POLICY))
    app.register_blueprint(served)
    document = Document(app, problem_types, open_needs)
    show = app.view_functions[PAGE_ENDPOINT]
    app.view_functions[PAGE_ENDPOINT] = lambda: _answer_page(str(show()))
    app.view_functions[DOCUMENT_ENDPOINT] = lambda: _answer_document(document)
    return document


def _answer_document(document: Document) -> Response:
    """The document, with both bases of the service as the client sees them."""
    prefix = quote(request.script_root.removesuffix(API_BASE), safe="/!$&'()*+,;=:@")
    servers = [{"url": prefix or "/"}, {"url": prefix + API_BASE}]
    return Response(json.dumps({**document.build(), "servers": servers}, indent=2), mimetype=JSON)


def _answer_page(page: str) -> Response:
    scripts = INLINE_SCRIPT.findall(page)
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    # Without one a browser asks for /favicon.ico, which is not there.
    page = page.replace("</title>", f"</title>{ICON}", 1)
    return protect(Response(page, mimetype="text/html"), PAGE_POLICY.format(hashes=hashes))
