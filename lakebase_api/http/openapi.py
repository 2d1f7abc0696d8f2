"""The OpenAPI document, made of the operations when it is first asked for."""

from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import Any

from flask import Flask
from flask_smorest import Api
from marshmallow import Schema, fields

from lakebase_api.access.rights import SERVICE, Audience, Duty, Need, Right
from lakebase_api.http.json_response import JSON
from lakebase_api.http.operation import HEADERS, Operation
from lakebase_api.http.problem_types import ProblemType
from lakebase_api.http.problems import CONTENT_TYPE
from lakebase_api.http.validation import GREATEST_LIST, find_body_type

# https://www.rfc-editor.org/rfc/rfc6750
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, or a token of the identity provider. An operation names the right that it "
    "needs; `/me` lists yours. On Databricks Apps the platform's own token serves, and says who you are.",
}


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


class DocumentedApi(Api):
    """flask-smorest's Api, with problems as its error documents."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None


class Document:
    """What the document says, in parts that are described when it is first asked for.

    To describe 50 tables at start took 1.1 of its 1.55 s, and 36 MB: benchmarks/tables.py. Safe to share
    between threads: of two that ask at once one waits for the other.
    ``open_needs`` are those that may be asked for without a word who calls.
    """

    def __init__(
        self, app: Flask, problem_types: Mapping[str, ProblemType], open_needs: Collection[Need]
    ) -> None:
        self._open_needs = open_needs
        self._app = app
        self._api = DocumentedApi(app)
        self._lock = Lock()
        self._parts: list[tuple[str, str, Sequence[Operation]]] = []
        spec = self._api.spec
        # flask-smorest's own way of paging, which nothing here uses.
        del spec.components.schemas["PaginationMetadata"]
        # It would print what has been described, which is nothing.
        del app.cli.commands["openapi"]
        spec.components.security_scheme("bearer", BEARER)
        for status in sorted({kind.status for kind in problem_types.values()}):
            kinds = [kind for kind in problem_types.values() if kind.status == status]
            spec.components.response(f"Problem{status}", _describe_problems(status, kinds), lazy=True)

    def add_part(self, name: str, description: str, operations: Sequence[Operation]) -> None:
        """Have it tell of the operations of a blueprint."""
        self._parts.append((name, description, operations))

    def describe_converter(self, converter: type[Any], schema: Mapping[str, Any]) -> None:
        """Have it say that segments of paths which the converter reads are as the schema says."""
        self._api.register_converter(converter, lambda _: schema)

    @property
    def parts(self) -> Sequence[tuple[str, str, Sequence[Operation]]]:
        """What it is still to tell of: the name of a blueprint, what that is, and its operations."""
        return self._parts

    def build(self) -> dict[str, Any]:
        """The document, without the servers, for the caller to add them to."""
        with self._lock:
            for name, description, operations in self._parts:
                for operation in operations:
                    self._add_operation(name, operation)
                self._api.spec.tag({"name": name, "description": description})
            self._parts.clear()
        document: dict[str, Any] = self._api.spec.to_dict()
        return document

    def _add_operation(self, name: str, operation: Operation) -> None:
        [rule] = self._app.url_map.iter_rules(f"{name}.{operation.name}")
        described = describe_operation(name, operation, operation.needs in self._open_needs)
        self._api.spec.path(rule=rule, operations={operation.method.lower(): described})


def describe_operation(tag: str, operation: Operation, takes_strangers: bool) -> dict[str, Any]:
    """The operation as OpenAPI has it, with classes of schemas in the place of what is known of them.

    ``takes_strangers``: it may be asked for without a word who calls.
    """
    summary, _, description = operation.text.strip().partition("\n\n")
    query = operation.query_schema
    return {
        "parameters": [*operation.parameters, *([{"in": "query", "schema": type(query)}] if query else ())],
        "responses": _describe_answers(operation),
        **_describe_body(operation),
        "summary": summary,
        **({"description": description} if description else {}),
        "tags": [tag],
        "operationId": operation.name,
        "security": _describe_need(tag, operation.needs, takes_strangers),
    }


def _describe_need(tag: str, need: Need, takes_strangers: bool) -> list[dict[str, list[str]]]:
    """Who may ask. https://spec.openapis.org/oas/v3.1.0#security-requirement-object"""
    if need is Audience.EVERYBODY:
        return []
    place = SERVICE if isinstance(need, Duty) else tag
    rights = [] if need is Audience.CALLERS else [str(Right(place, need))]
    return [{"bearer": rights}, *([{}] if takes_strangers else [])]


def _describe_answers(operation: Operation) -> dict[int, Any]:
    """In the order of their status: generated clients may take the first that is JSON."""
    in_json = {JSON: {"schema": operation.answer()}} if operation.answer else {}
    answers: dict[int, Any] = {
        200: {
            "description": operation.answer_text,
            "headers": {**HEADERS, **operation.headers},
            "content": {**in_json, **operation.media_types},
        },
        **operation.others,
        **{status: f"Problem{status}" for status in (*operation.problems, *_find_refusals(operation.needs))},
    }
    return {status: answers[status] for status in sorted(answers)}


def _find_refusals(need: Need) -> tuple[int, ...]:
    """The statuses with which callers are refused."""
    if need is Audience.EVERYBODY:
        return ()
    return (401, 429) if need is Audience.CALLERS else (401, 403, 429)


def _describe_body(operation: Operation) -> dict[str, Any]:
    body = operation.body_schema
    if body is None:
        return {}
    schema: Any = type(body)
    if body.many:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": GREATEST_LIST}
    media_type = find_body_type(operation.method)
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _describe_problems(status: int, kinds: Sequence[ProblemType]) -> dict[str, Any]:
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
