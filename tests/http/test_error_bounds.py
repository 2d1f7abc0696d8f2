"""However much is wrong with a request, the answer stays short and says how much more there is."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.http.unopened import build_app

JSON = "application/json"


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return build_app().test_client()


def read_problem(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 422
    assert len(answer.data) < 8_000
    body: dict[str, Any] = json.loads(answer.data)
    assert body["type"] == "/problems/invalid-request"
    return body


def post(client: FlaskClient, path: str, body: object) -> dict[str, Any]:
    return read_problem(client.post(path, data=json.dumps(body, separators=(",", ":")), content_type=JSON))


def misspell(number: int) -> list[str]:
    """Names that are like one that is known, all different."""
    return [f"o_orderstatu{place:03}" for place in range(number)]


@pytest.mark.parametrize("path", ["/orders/stream", "/orders/count", "/orders/export", "/livez", "/health"])
def test_of_many_unknown_parameters_the_first_are_listed_and_the_others_counted(
    client: FlaskClient, path: str
) -> None:
    names = misspell(500)
    problem = read_problem(client.get(f"{path}?{'&'.join(f'{name}=' for name in names)}"))
    assert len(problem["errors"]) == 20
    assert {error["name"] for error in problem["errors"]} <= set(names)
    assert problem["errors_omitted"] == 480
    assert problem["detail"].endswith("And 497 more.")


def test_few_errors_are_all_listed_and_none_is_counted(client: FlaskClient) -> None:
    problem = read_problem(client.get(f"/orders/stream?{'&'.join(misspell(20))}"))
    assert len(problem["errors"]) == 20
    assert "errors_omitted" not in problem


def test_a_known_name_is_looked_for_for_the_first_unknown_ones_only(client: FlaskClient) -> None:
    problem = read_problem(client.get(f"/orders/stream?{'&'.join(misspell(20))}"))
    hinted = ["Did you mean o_orderstatus?" in error["detail"] for error in problem["errors"]]
    assert hinted == [True] * 3 + [False] * 17


@pytest.mark.parametrize("item", [{}, 1, [], None, {"o_orderkey": "x"}], ids=str)
def test_a_batch_of_too_many_items_is_refused_for_their_number_whatever_they_are(
    client: FlaskClient, item: object
) -> None:
    problem = post(client, "/orders/status", [item] * 1001)
    assert problem["errors"] == [{"in": "body", "name": "body", "detail": "Must have 1 to 1000 items."}]


def test_of_a_batch_with_much_wrong_the_first_errors_are_listed(client: FlaskClient) -> None:
    problem = post(client, "/orders/status", [{}] * 1000)
    assert [error["name"] for error in problem["errors"][:2]] == ["0.o_orderkey", "0.o_orderstatus"]
    assert len(problem["errors"]) + problem["errors_omitted"] == 2000


@pytest.mark.parametrize("path", ["/orders/1/status", "/orders/status"])
def test_an_object_of_very_many_fields_is_refused_for_their_number(client: FlaskClient, path: str) -> None:
    body = dict.fromkeys(misspell(1000), 0)
    problem = post(client, path, [body] if path == "/orders/status" else body)
    assert len(problem["errors"]) == 1
    assert "at most 50 fields" in problem["detail"]


@pytest.mark.parametrize("name", ["x" * 60_000, "é\u0001" * 4_000], ids=["plain", "escaped"])
def test_a_long_name_is_not_sent_back_whole(client: FlaskClient, name: str) -> None:
    problem = post(client, "/orders/1/status", {name: 0, "o_orderstatus": "F"})
    assert problem["errors"][0]["name"] == f"{name[:300]}…"


@pytest.mark.parametrize("query", ["fields={}", "sort={}", "{}=1", "o_clerk={}", "keys={}"])
def test_a_long_value_is_not_sent_back_whole(client: FlaskClient, query: str) -> None:
    path = "/orders" if query.startswith("keys") else "/orders/stream"
    answer = client.get(f"{path}?{query.format('%01x' * 1900)}")
    assert read_problem(answer)["errors"]
    assert len(answer.data) < 3_000
