"""What is said of a request that is not as it must be, before any database is asked."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.http.unopened import build_app

DECLARED = """
[products]
source = "public.products"
key = ["id"]

[products.columns]
id = { type = "uuid" }
amount = { type = "numeric", filter = "range", change = { path = "amount" } }
tags = { type = "text[]", filter = "contains" }
p_state = { type = "text", filter = ["any", "prefix"], change = { path = "state" } }
made = { type = "date", filter = "range" }
"""
KEY = "6a0f3f5e-7d0c-4c58-9a4e-1d2f3c4b5a69"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    file = tmp_path / "tables.toml"
    file.write_text(DECLARED)
    return build_app(TABLES_FILE=str(file))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def read_errors(answer: Any) -> list[tuple[str, str]]:
    """Name and detail of each of the errors of a 422."""
    assert answer.status_code == 422
    return [(error["name"], error["detail"]) for error in answer.json["errors"]]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("tags", "tags_contains"),
        ("amount", "amount_min or amount_max"),
        ("amount_from", "amount_min or amount_max"),
        ("amuont_min", "amount_min or amount_max"),
        ("amount_mni", "amount_min or amount_max"),
        ("made_form", "made_from or made_to"),
        ("state", "p_state or p_state_prefix"),
        ("p_stat", "p_state or p_state_prefix"),
        ("pagesize", "page_size"),
    ],
)
def test_an_unknown_parameter_is_answered_with_those_of_the_column_that_is_meant(
    client: FlaskClient, asked: str, meant: str
) -> None:
    [(name, detail)] = read_errors(client.get(f"/products/pages?{asked}=1"))
    assert (name, detail) == (asked, f"Unknown field. Did you mean {meant}?")


@pytest.mark.parametrize("asked", ["units_min", "tag_contain_s", "id", "e", "x_contains", "fads"])
def test_nothing_is_suggested_that_only_ends_alike(client: FlaskClient, asked: str) -> None:
    assert read_errors(client.get(f"/products/pages?{asked}=1")) == [(asked, "Unknown field.")]


def test_who_asks_for_a_list_where_keys_are_asked_for_is_told_where_lists_are(client: FlaskClient) -> None:
    errors = dict(read_errors(client.get("/products?page_size=2")))
    assert errors.keys() == {"keys", "page_size"}
    assert "/products/pages and /products/stream" in errors["keys"]


ONE = "Must be an object with amount."


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/products/amount", {}, [("body", "Must be a list of objects with id and amount.")]),
        ("POST", "/products/amount", "x", [("body", "Must be a list of objects with id and amount.")]),
        (
            "POST",
            "/products/amount",
            [1, {"id": KEY, "amount": 2}, None],
            [("0", "Must be an object with id and amount."), ("2", "Must be an object with id and amount.")],
        ),
        ("POST", f"/products/{KEY}/amount", [{"amount": 1}], [("body", ONE)]),
        ("POST", f"/products/{KEY}/amount", 7, [("body", ONE)]),
        ("PATCH", f"/products/{KEY}", [], [("body", "Must be an object.")]),
        ("PATCH", f"/products/{KEY}", {}, [("body", "Must have one of amount, p_state, or several.")]),
        ("POST", "/products/amount", [], [("body", "Must have 1 to 1000 items.")]),
    ],
)
def test_a_body_of_another_form_is_answered_with_the_form_that_it_must_have(
    client: FlaskClient, method: str, path: str, body: Any, expected: list[tuple[str, str]]
) -> None:
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    assert read_errors(client.open(path, method=method, json=body, content_type=content_type)) == expected
