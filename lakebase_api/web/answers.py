"""Answers in JSON, all written by one encoder."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response
from msgspec.json import Encoder

JSON = "application/json"

# A decimal is a number with the digits it has, never through a binary float.
ENCODER = Encoder(decimal_format="number")


class Answer(Response):
    """A response with its whole body at hand: there is nothing to work out when it is sent."""

    response: list[bytes]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send the headers as they are, and the body unless only the headers were asked for."""
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response


def answer_json(body: object, status: int = 200, *, content_type: str = JSON) -> Response:
    """A response with the body as JSON: dicts, lists, msgspec structs, text, numbers, dates, decimals."""
    return Answer(ENCODER.encode(body), status=status, content_type=content_type)
