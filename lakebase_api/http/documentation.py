"""The OpenAPI document, and the page that shows it with assets of our own host."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import flask_swagger_ui
from apispec import BasePlugin
from flask import Blueprint as FlaskBlueprint
from flask import Flask, Response, request
from flask_smorest import Api
from marshmallow import Schema, fields

from lakebase_api import __version__
from lakebase_api.http.base_path import API_BASE
from lakebase_api.http.json_response import JSON
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
# Among the assets are pages of Swagger UI's own, which nobody needs.
ASSETS_POLICY = "default-src 'none'; frame-ancestors 'none'"
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

# Behind what is served.
DESCRIPTION = f"""Every path is served at `/` and at `{API_BASE}`, which is
where callers with a bearer token reach it on Databricks Apps.

Errors are `{CONTENT_TYPE}` (RFC 9457). A 503 says in `Retry-After` after how many seconds to try again.

A request has 30 seconds, or fewer if its `X-Request-Timeout` says so. An export has longer.
"""

HEADERS = {
    "X-Request-Id": {
        "description": "The caller's `X-Request-Id` if it is `[A-Za-z0-9._-]{1,128}`, else a new one.",
        "schema": {"type": "string"},
    },
    "X-Process-Time": {"description": "Seconds the request took.", "schema": {"type": "number"}},
    "Server-Timing": {
        "description": "Milliseconds that a database connection was held, and that the request took.",
        "schema": {"type": "string"},
    },
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "ETag of the answer as the caller has it.",
    "schema": {"type": "string"},
}
# Problems that any operation on the database can answer with.
DATABASE_PROBLEMS = (500, 503, 504)
ETAG = {"ETag": {"description": "Changes whenever what is answered does.", "schema": {"type": "string"}}}


class InvalidItemSchema(Schema):
    """One parameter or field that is not allowed."""

    where = fields.String(
        data_key="in",
        required=True,
        metadata={"enum": ["path", "query", "header", "body"], "example": "query"},
    )
    name = fields.String(required=True, metadata={"example": "page_size"})
    detail = fields.String(required=True, metadata={"example": "Must be between 1 and 1000."})


class ProblemSchema(Schema):
    """RFC 9457 problem details."""

    type = fields.String(required=True, metadata={"format": "uri-reference"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True, metadata={"format": "uri"})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(InvalidItemSchema))
    errors_omitted = fields.Integer(
        metadata={"description": "There when there are more errors than `errors` lists: how many more."}
    )


class ResponsesByStatus(BasePlugin):
    """Has each operation list its responses in the order of their status.

    Generated clients may take the first that is JSON for what the operation answers with.
    """

    def operation_helper(
        self, path: str | None = None, operations: dict[Any, Any] | None = None, **_: Any
    ) -> None:
        """Sort them, whatever described them first."""
        for operation in (operations or {}).values():
            responses = operation["responses"]
            operation["responses"] = {status: responses[status] for status in sorted(responses, key=int)}


class DocumentedApi(Api):
    """flask-smorest's Api, with problems as its error documents."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None


def build_api(app: Flask, tables: Sequence[Table], problem_types: Mapping[str, ProblemType]) -> DocumentedApi:
    """The OpenAPI document at ``/openapi.json`` and its page at ``/docs``."""
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
        OPENAPI_SWAGGER_UI_CONFIG={"validatorUrl": None, "displayRequestDuration": True},
        API_SPEC_OPTIONS={
            "info": {
                "description": f"\n{describe_service(tables)}. {DESCRIPTION}",
                "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
            },
        },
    )
    assets = Path(flask_swagger_ui.__file__).parent / "dist"
    served = FlaskBlueprint("docs-assets", __name__, static_folder=assets, static_url_path=ASSETS_PATH)
    served.after_request(lambda response: _protect(response, ASSETS_POLICY))
    app.register_blueprint(served)
    api = DocumentedApi(app, spec_kwargs={"extra_plugins": [ResponsesByStatus()]})
    show = app.view_functions[PAGE_ENDPOINT]
    app.view_functions[PAGE_ENDPOINT] = lambda: _answer_page(str(show()))
    app.view_functions[DOCUMENT_ENDPOINT] = lambda: _answer_document(api)
    # flask-smorest's own way of paging, which nothing here uses.
    del api.spec.components.schemas["PaginationMetadata"]
    for status in sorted({kind.status for kind in problem_types.values()}):
        kinds = [kind for kind in problem_types.values() if kind.status == status]
        api.spec.components.response(f"Problem{status}", _problem_response(status, kinds), lazy=True)
    return api


def _answer_document(api: DocumentedApi) -> Response:
    """The document, with both bases of the service as the client sees them."""
    prefix = quote(request.script_root.removesuffix(API_BASE), safe="/!$&'()*+,;=:@")
    document = {**api.spec.to_dict(), "servers": [{"url": prefix or "/"}, {"url": prefix + API_BASE}]}
    return Response(json.dumps(document, indent=2), mimetype=JSON)


def _answer_page(page: str) -> Response:
    scripts = INLINE_SCRIPT.findall(page)
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return _protect(Response(page, mimetype="text/html"), PAGE_POLICY.format(hashes=hashes))


def _protect(response: Response, policy: str) -> Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Frame-Options"] = "DENY"  # for browsers that do not know frame-ancestors
    return response


def _problem_response(status: int, kinds: Sequence[ProblemType]) -> dict[str, Any]:
    headers: dict[str, Any] = dict(HEADERS)
    if any(kind.retry_after for kind in kinds):
        headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    examples = {
        kind.slug: {
            "value": {
                "type": kind.path,
                "title": kind.title,
                "status": status,
                "detail": kind.meaning,
                "instance": "urn:uuid:7e0b8f0e-5d0c-4b9a-8f43-8d3d0c9f2f11",
                "request_id": "5a1f7a3e-4c0e-4d7a-9a35-6f5b7c1d2e3f",
            }
        }
        for kind in kinds
    }
    return {
        "description": " ".join(kind.meaning for kind in kinds),
        "headers": headers,
        "content": {CONTENT_TYPE: {"schema": ProblemSchema, "examples": examples}},
    }


def describe_operation(name: str, *problem_statuses: int) -> dict[str, Any]:
    """Arguments for flask-smorest's ``doc``: the operation's id, and the problems it can answer with."""
    problems: dict[int, Any] = {status: f"Problem{status}" for status in problem_statuses}
    return {"operationId": name, "responses": problems}
