"""What a browser gets where programs get JSON."""

import html
import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from lakebase_api import __version__
from lakebase_api.app import get_service
from lakebase_api.http.problem_types import list_problem_types
from tests.conftest import AppOpener, OrdersDatabase
from tests.http.test_negotiation import FIREFOX, JAVA
from tests.http.unopened import build_app

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
PATHS = ["/", "/problems", "/problems/not-found", "/problems/unheard-of"]


def read(text: str) -> str:
    """The text of a page, without its marks."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/json", "application/json, text/plain, */*", JAVA, "application/problem+json"],
)
def test_programs_get_json(reader: FlaskClient, path: str, accept: str | None) -> None:
    answer = reader.get(path, headers={} if accept is None else {"Accept": accept})
    assert answer.mimetype in ("application/json", "application/problem+json")
    assert "Accept" in answer.vary
    assert json.loads(answer.data)


def test_the_json_of_the_front_page_is_what_it_was(reader: FlaskClient) -> None:
    assert reader.get("/").data == (
        b'{"name":"Lakebase Orders API","version":"%s",'
        b'"description":"Orders of a Databricks Lakebase database over HTTP.",'
        b'"links":{"documentation":"/docs","openapi":"/openapi.json","orders":"/orders/stream",'
        b'"health":"/health","problems":"/problems","bearer_token_base":"/api/v1"}}' % __version__.encode()
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("accept", [FIREFOX, CHROMIUM, "text/html"])
def test_browsers_get_a_page(reader: FlaskClient, path: str, accept: str) -> None:
    answer = reader.get(path, headers={"Accept": accept})
    assert answer.mimetype == "text/html"
    assert "Accept" in answer.vary
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert answer.status_code == reader.get(path).status_code


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://localhost"),
        ({"Host": "orders.example:8443"}, "http://orders.example:8443"),
        (
            {"X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/shop"},
            "https://shop.example/shop",
        ),
    ],
)
def test_the_front_page_shows_how_to_ask_from_where_its_reader_is(headers: dict[str, str], base: str) -> None:
    client = build_app(FORWARDED_HOPS="1").test_client()
    for path in ("/", "/api/v1/"):
        page = client.get(path, headers={**headers, "Accept": FIREFOX}).text
        assert f"curl '{base}/orders/stream?page_size=5'" in read(page)
        for link in ("docs", "status", "problems", "orders/stream?page_size=5"):
            assert re.search(f'href="[^"]*{re.escape(link)}"', page)


def test_on_databricks_apps_it_shows_the_base_and_the_token_that_scripts_need() -> None:
    client = build_app(DATABRICKS_APP_NAME="orders", DATABRICKS_APP_PORT="8000").test_client()
    page = client.get("/", headers={"Accept": FIREFOX, "X-Forwarded-User": "7@8"})
    asked = "curl -H \"Authorization: Bearer $TOKEN\" 'https://localhost/api/v1/orders/stream?page_size=5'"
    assert asked in read(page.text)


def test_what_callers_are_called_is_text_in_the_page() -> None:
    client = build_app(TRUST_FORWARDED_IDENTITY="true").test_client()
    named = {"X-Forwarded-User": "7@8", "X-Forwarded-Email": "<script>alert(1)</script>@example.com"}
    page = client.get("/", headers={"Accept": FIREFOX, **named})
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "known as" in read(page.text)


def test_each_kind_of_problem_can_be_read(reader: FlaskClient) -> None:
    service = get_service(reader.application)
    kinds = list_problem_types([*service.tables, service.audit_table])
    listed = read(reader.get("/problems", headers={"Accept": FIREFOX}).text)
    for kind in kinds.values():
        page = read(reader.get(kind.path, headers={"Accept": FIREFOX}).text)
        for text in (kind.title, kind.meaning, kind.remedy):
            assert text in page
            assert text in listed


def test_a_browser_that_is_not_let_in_is_told_so_in_words(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app({**unchanged_database.environment, "ANONYMOUS": "off"}).test_client()
    page: Any = client.get("/", headers={"Accept": FIREFOX})
    assert (page.status_code, page.mimetype) == (401, "text/html")
    assert page.headers["WWW-Authenticate"] == 'Bearer realm="lakebase-api"'
    assert "Send an API key, or a token" in read(page.text)
    assert 'href="problems/unauthenticated"' in page.text
    assert client.get("/").mimetype == "application/problem+json"
