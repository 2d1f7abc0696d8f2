"""How the document is made of a declaration, and when."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema

from lakebase_api.http import openapi
from lakebase_api.http.openapi import describe_operation
from lakebase_api.http.operation import Operation
from tests.http.unopened import build_app
from tests.waiting import PATIENCE

DECLARED = """
[readings]
source = "public.reading"
key = ["id"]
one = "reading"

[readings.columns]
id = { type = "bigint" }
measured = { type = "numeric(10,2)", null = true, filter = "range", change = { path = "measured" } }
weighed = { type = "double precision", null = true, change = { path = "weighed" } }
"""


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    file = tmp_path / "tables.toml"
    file.write_text(DECLARED)
    return build_app(TABLES_FILE=str(file))


def read_document(app: Flask) -> Any:
    return app.test_client().get("/openapi.json").json


def find_types(part: Any) -> Iterator[list[str]]:
    """Each list of types in the document."""
    if isinstance(part, dict):
        if isinstance(part.get("type"), list):
            yield part["type"]
        for inner in part.values():
            yield from find_types(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from find_types(inner)


def test_a_number_that_may_be_null_may_be_so_once(app: Flask) -> None:
    types = list(find_types(read_document(app)))
    assert ["number", "string", "null"] in types
    assert all(len(set(each)) == len(each) for each in types)


@pytest.mark.parametrize("path", ["/readings/pages", "/readings/stream"])
def test_the_examples_of_links_are_those_of_the_table(app: Flask, path: str) -> None:
    document = read_document(app)
    answer = document["paths"][path]["get"]["responses"]["200"]
    example = "https://readings.example/api/v1/readings/stream?page_size=100&cursor=388"
    assert answer["headers"]["Link"]["example"] == f'<{example}>; rel="next"'
    links = document["components"]["schemas"]["ReadingLinks"]["properties"]
    assert list(links) == ["self", "first", "prev", "next", "last"]
    assert links["next"]["example"] == example


def test_a_start_makes_no_schema_of_a_table_and_describes_no_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it was made at start")

    monkeypatch.setattr(Schema, "from_dict", refuse)
    monkeypatch.setattr(openapi, "describe_operation", refuse)
    assert build_app().test_client().get("/livez").status_code == 200


def test_the_schema_of_a_request_is_made_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = app.test_client()
    asked = "/readings/pages?measured_min=x"
    assert client.get(asked).status_code == 422
    monkeypatch.setattr(Schema, "__init__", None)
    assert client.get(asked).status_code == 422


def test_of_two_that_ask_for_the_document_at_once_one_describes_it(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[str] = []
    begun, second_asks, comes_again = threading.Event(), threading.Event(), threading.Event()

    def describe(tag: str, operation: Operation, takes_strangers: bool) -> dict[str, Any]:
        described.append(operation.name)
        if begun.is_set():
            comes_again.set()
        else:
            begun.set()
            assert second_asks.wait(PATIENCE)
            # Long enough for one that does not wait for its turn to come here.
            comes_again.wait(0.3)
        return describe_operation(tag, operation, takes_strangers)

    monkeypatch.setattr(openapi, "describe_operation", describe)
    documents: list[Any] = []

    def ask(sign: threading.Event) -> None:
        sign.set()
        documents.append(read_document(app))

    first = threading.Thread(target=ask, args=[threading.Event()])
    second = threading.Thread(target=ask, args=[second_asks])
    first.start()
    assert begun.wait(PATIENCE)
    second.start()
    for thread in (first, second):
        thread.join(PATIENCE)
    assert documents[0] == documents[1]
    assert documents[0] == read_document(app)
    operations = [item for path in documents[0]["paths"].values() for item in path if item != "parameters"]
    assert len(described) == len(set(described)) == len(operations)
