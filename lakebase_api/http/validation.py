"""Reads and checks what a request brings: query parameters and JSON bodies."""

import difflib
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from flask import Request, request
from gunicorn.http.errors import ParseException
from marshmallow import RAISE, Schema, ValidationError
from marshmallow.fields import List
from webargs.flaskparser import FlaskParser

from lakebase_api.http import problem_types as kinds
from lakebase_api.http.json_response import JSON
from lakebase_api.http.operation import Operation
from lakebase_api.http.problems import Problem, shorten

GREATEST_BODY = 64 * 1024
# https://www.rfc-editor.org/rfc/rfc7396
MERGE_PATCH = "application/merge-patch+json"
# marshmallow's own words.
UNKNOWN = "Unknown field."
# Items that a body may have which is a list, and fields that an object in it may: what has more is refused
# for that alone.
GREATEST_LIST = 1000
GREATEST_OBJECT = 50
# A number that is no integer keeps its digits.
DECODER = msgspec.json.Decoder(float_hook=Decimal)
# The `name` of what is wrong with a body that is of no field of it.
WHOLE_BODY = "body"
# What the parameters of a filter have behind the name of their column.
ENDING = re.compile(r"_(?:min|max|from|to|null|prefix|contains)$")
# A name is suggested that is as like as this, from 0 to 1, or whose end of at least so many characters it is.
LIKE = 0.8
LEAST_END = 3
# Errors that `detail` tells, and unknown names for which a known one is looked for, which takes 0.1 ms each.
MOST_TOLD = 3
PLACES = {"query": "query", "json": "body"}


class RequestParser(FlaskParser):
    """webargs' parser with the service's answers: a problem that names each parameter or field."""

    def load_querystring(self, req: Request, schema: Schema) -> dict[str, object]:
        """The query parameters, a list of those that may be several; webargs takes twice as long.

        Problems: another one is there more than once.
        """
        return {
            name: values if isinstance(schema.fields.get(name), List) else _take_only(name, values)
            for name, values in req.args.lists()
        }

    def load_json(self, req: Request, schema: Schema) -> Any:
        """The body. Problems: another media type, not JSON, or too many items or fields."""
        expected = find_body_type(req.method)
        if req.mimetype != expected:
            raise Problem(kinds.UNSUPPORTED_MEDIA_TYPE, f"The body must be {expected}.")
        try:
            # Some senders begin with a mark that nobody sees. https://www.rfc-editor.org/rfc/rfc8259#section-8.1
            body = DECODER.decode(_read_body(req).removeprefix(BOM_UTF8))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Problem(kinds.MALFORMED, "The body is not valid JSON.") from None
        _refuse_too_many(body)
        _refuse_other_form(body, schema)
        return body

    def handle_error(
        self, error: ValidationError, req: Request, schema: Schema, *args: object, **kwargs: object
    ) -> NoReturn:
        """Answer 422 with the messages, and for the first unknown names the known ones that are like them."""
        messages: dict[str, Any] = error.messages_dict
        known = [field.data_key or name for name, field in schema.load_fields.items()]
        invalid = [
            {"in": PLACES[location], "name": name, "detail": detail}
            for location, fields in messages.items()
            for name, detail in _flatten(fields)
        ]
        for item in [item for item in invalid if item["detail"] == UNKNOWN][:MOST_TOLD]:
            item["detail"] += _hint(item["name"], known)
        refuse(invalid)


def _read_body(req: Request) -> bytes:
    if req.content_length is not None:
        return req.get_data()
    # A chunked body: werkzeug would cut it at its limit without a word.
    try:
        body: bytes = req.environ["wsgi.input"].read(GREATEST_BODY + 1)
    except (ParseException, OSError):
        raise Problem(kinds.MALFORMED, "The chunks of the body are malformed, or it ends too soon.") from None
    if len(body) > GREATEST_BODY:
        raise Problem(kinds.TOO_LARGE, f"The body must have at most {GREATEST_BODY} bytes.")
    return body


def _refuse_too_many(body: Any) -> None:
    """Answer 422 to a body of so many parts that to say what is wrong with each would take long."""
    detail = ""
    if isinstance(body, list) and len(body) > GREATEST_LIST:
        detail = f"Must have 1 to {GREATEST_LIST} items."
    elif any(
        isinstance(part, dict) and len(part) > GREATEST_OBJECT
        for part in (body if isinstance(body, list) else [body])
    ):
        detail = f"An object must have at most {GREATEST_OBJECT} fields."
    if detail:
        refuse([{"in": "body", "name": WHOLE_BODY, "detail": detail}])


def _refuse_other_form(body: Any, schema: Schema) -> None:
    """Answer 422 to a body that is no object, or no list of them, where it has to be."""
    must = [field.data_key or name for name, field in schema.load_fields.items() if field.required]
    having = f" with {' and '.join(must)}" if must else ""
    if not schema.many:
        if not isinstance(body, dict):
            refuse([{"in": "body", "name": WHOLE_BODY, "detail": f"Must be an object{having}."}])
    elif not isinstance(body, list):
        refuse([{"in": "body", "name": WHOLE_BODY, "detail": f"Must be a list of objects{having}."}])
    elif others := [place for place, item in enumerate(body) if not isinstance(item, dict)]:
        detail = f"Must be an object{having}."
        refuse([{"in": "body", "name": str(place), "detail": detail} for place in others])


PARSER = RequestParser(unknown=RAISE)


def read_arguments(operation: Operation) -> list[Any]:
    """What the view of the operation is given of the current request: its body and its query.

    Problems: either is not as its schema says; the body is looked at first.
    """
    taken = []
    if operation.body_schema is not None:
        taken.append(PARSER.parse(operation.body_schema, request, location="json"))
    if operation.query_schema is not None:
        taken.append(read_query(operation.query_schema))
    return taken


def read_query(schema: Schema) -> Any:
    """The query parameters of the current request. Problems: they are not as the schema says."""
    return PARSER.parse(schema, request, location="query")


def find_body_type(method: str) -> str:
    """The media type of the bodies of requests of this method."""
    return MERGE_PATCH if method == "PATCH" else JSON


def refuse(invalid: list[dict[str, str]]) -> NoReturn:
    """Answer 422 with the list of what is wrong: each item has ``in``, ``name`` and ``detail``."""
    told = [
        shorten(f"{item['name']}: {item['detail']}" if item["name"] else item["detail"])
        for item in invalid[:MOST_TOLD]
    ]
    if len(invalid) > MOST_TOLD:
        told.append(f"And {len(invalid) - MOST_TOLD} more.")
    raise Problem(kinds.INVALID, " ".join(told), invalid=invalid)


def refuse_query() -> None:
    """Answer 422 if there is a query parameter, on a path that takes none."""
    if request.query_string and request.args:
        refuse([{"in": "query", "name": name, "detail": UNKNOWN} for name in request.args])


def _take_only(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise ValidationError({name: ["Must be there once."]})
    return values[0]


def _hint(name: str, known: list[str]) -> str:
    """The known names of the same column, or of one that is called nearly the same."""
    of_columns: dict[str, list[str]] = {}
    for each in known:
        of_columns.setdefault(ENDING.sub("", each), []).append(each)
    asked = ENDING.sub("", name)
    like = (
        difflib.get_close_matches(asked, of_columns, 1, LIKE)
        or [each for each in of_columns if asked.startswith(f"{each}_")]
        or [each for each in of_columns if len(asked) >= LEAST_END and each.endswith(asked)]
    )
    return f" Did you mean {' or '.join(of_columns[like[0]])}?" if like else ""


def _flatten(messages: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            path = name if key == "_schema" else f"{name}.{key}" if name else str(key)
            yield from _flatten(inner, path)
    else:
        for message in [messages] if isinstance(messages, str) else messages:
            yield name, message
