"""What the answers of lists have beside the orders, and the other forms they come in."""

import json
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from requests.utils import parse_header_links
from werkzeug.test import TestResponse

from tests.conftest import OrdersDatabase
from tests.orders.changing import assert_problem, read
from tests.orders.exporting import copy
from tests.orders.varied import COLUMNS, local, walk

CSV = {"Accept": "text/csv"}
NDJSON = {"Accept": "application/x-ndjson"}
# Path, query, and the same in SQL.
LISTS = [
    ("/orders/pages", "", "ORDER BY o_orderkey"),
    ("/orders/stream", "", "ORDER BY o_orderkey"),
    ("/orders/pages", "sort=-o_totalprice,o_clerk", "ORDER BY o_totalprice DESC, o_clerk, o_orderkey"),
    ("/orders/stream", "sort=o_comment", "ORDER BY o_comment, o_orderkey"),
    ("/orders/stream", "o_orderstatus=P&o_orderstatus=F", "WHERE o_orderstatus <> 'O' ORDER BY o_orderkey"),
]
QUERIES = [
    "page_size=7",
    "o_custkey=2&page_size=5&o_custkey=3",
    "page_size=7&sort=-o_clerk,o_orderdate&fields=o_orderkey",
    "o_clerk=%C3%A9%2C%20%22%C3%9C%22+%26+100%25%2B&page_size=2&sort=o_orderstatus",
]


def link_header(answer: TestResponse) -> dict[str, str]:
    """The targets of the header, by relation."""
    return {link["rel"]: link["url"] for link in parse_header_links(answer.headers["Link"])}


def walk_by_header(client: FlaskClient, path: str, headers: dict[str, str]) -> list[bytes]:
    """The bodies of a page and all that follow it."""
    bodies = []
    following: str | None = path
    while following:
        answer = client.get(following, headers=headers)
        assert answer.status_code == 200
        bodies.append(answer.data)
        following = local(link_header(answer).get("next"))
    return bodies


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream"])
def test_links_lead_to_the_pages_that_they_name(
    lister: FlaskClient, prefix: str, path: str, query: str
) -> None:
    first = f"{prefix}{path}?{query}"
    pages = walk(lister, first)
    assert len(pages) > 2
    second = read(lister, str(local(read(lister, first)["links"]["next"])))
    for relation, page in (("self", 1), ("first", 0), ("prev", 0), ("next", 2)):
        url = second["links"][relation]
        assert urlsplit(url)[:3] == ("http", "localhost", prefix + path)
        assert walk(lister, str(local(url))) == pages[page:]


@pytest.mark.parametrize("query", QUERIES)
def test_pages_have_a_link_to_the_last_and_back(lister: FlaskClient, query: str) -> None:
    pages = walk(lister, f"/orders/pages?{query}")
    last = local(read(lister, f"/orders/pages?{query}")["links"]["last"])
    assert walk(lister, str(last), "prev") == pages[::-1]


def test_the_last_page_is_not_linked_where_nobody_counts(lister: FlaskClient) -> None:
    assert read(lister, "/orders/pages?page_size=7&include_count=false")["links"]["last"] is None
    assert "last" not in read(lister, "/orders/stream?page_size=7")["links"]


def test_there_is_no_link_beyond_the_ends(lister: FlaskClient) -> None:
    for path in ("/orders/pages", "/orders/stream", "/orders/stream?sort=o_clerk"):
        links = read(lister, path)["links"]
        assert (links["prev"], links["next"]) == (None, None)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream"])
def test_the_header_has_the_links_of_the_body(lister: FlaskClient, path: str, query: str) -> None:
    following: str | None = f"{path}?{query}"
    while following:
        answer = lister.get(following)
        assert answer.json is not None
        links = answer.json["links"]
        assert link_header(answer) == {name: url for name, url in links.items() if url}
        following = local(links["next"])


def test_the_tables_have_the_links_of_the_json(lister: FlaskClient) -> None:
    for path in ("/orders/pages?page_size=7&page=2", "/orders/stream?page_size=7&cursor=9&sort=o_orderkey"):
        expected = lister.get(path).headers["Link"]
        for headers in (CSV, NDJSON):
            assert lister.get(path, headers=headers).headers["Link"] == expected


@pytest.mark.parametrize(("path", "query", "rest"), LISTS)
def test_csv_is_what_copy_gives_of_these_orders(
    varied_database: OrdersDatabase, lister: FlaskClient, path: str, query: str, rest: str
) -> None:
    header = ",".join(COLUMNS).encode() + b"\n"
    expected = copy(varied_database, f"SELECT {','.join(COLUMNS)} FROM shown {rest}")
    pages = walk_by_header(lister, f"{path}?page_size=7&{query}", CSV)
    assert all(page.startswith(header) for page in pages)
    assert b"".join(page.removeprefix(header) for page in pages) == expected


@pytest.mark.parametrize(("path", "query", "rest"), LISTS)
def test_a_line_of_ndjson_is_an_order_of_the_json_byte_for_byte(
    lister: FlaskClient, path: str, query: str, rest: str
) -> None:
    whole = lister.get(f"{path}?{query}")
    assert whole.json is not None
    pages = walk_by_header(lister, f"{path}?page_size=7&{query}", NDJSON)
    lines = b"".join(pages).splitlines()
    assert [json.loads(line) for line in lines] == whole.json["orders"]
    assert whole.data.startswith(b'{"orders":[' + b",".join(lines) + b'],"pagination":')


def test_several_orders_come_in_every_form(lister: FlaskClient) -> None:
    path = "/orders?keys=6,1,3&fields=o_orderkey,o_comment"
    assert lister.get(path, headers=CSV).text == 'o_orderkey,o_comment\n6,"two\nlines"\n3,"a,b"\n'
    lines = lister.get(path, headers=NDJSON).text
    assert lines == '{"o_orderkey":6,"o_comment":"two\\nlines"}\n{"o_orderkey":3,"o_comment":"a,b"}\n'


def test_a_table_without_orders_is_empty(lister: FlaskClient) -> None:
    for path in ("/orders/pages?o_clerk=nobody", "/orders/stream?o_clerk=nobody", "/orders?keys=1"):
        assert lister.get(f"{path}&fields=o_clerk", headers=CSV).text == "o_clerk\n"
        assert lister.get(path, headers=NDJSON).text == ""


@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream", "/orders?keys=3"])
def test_each_form_says_what_it_is_and_on_what_it_depends(lister: FlaskClient, path: str) -> None:
    types = {
        "text/csv": "text/csv; charset=utf-8; header=present",
        "application/x-ndjson": "application/x-ndjson",
        "application/json": "application/json",
        "text/csv;q=0.5, application/x-ndjson;q=0.7": "application/x-ndjson",
        "*/*": "application/json",
    }
    for accept, content_type in types.items():
        answer = lister.get(path, headers={"Accept": accept})
        assert answer.content_type == content_type
        assert "Accept" in [name.strip() for name in ",".join(answer.headers.getlist("Vary")).split(",")]
        assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream", "/orders?keys=3"])
def test_a_form_that_there_is_not_is_answered_in_json_as_everywhere(lister: FlaskClient, path: str) -> None:
    for accept in ("application/problem+json", "text/json", "text/html", "image/*", "application/json;q=0"):
        for asked in (path, "/orders/3"):
            answer = lister.get(asked, headers={"Accept": accept})
            assert (answer.status_code, answer.content_type) == (200, "application/json"), (accept, asked)


def test_formulas_are_disarmed_in_csv_alone_and_if_asked_for(lister: FlaskClient) -> None:
    path = "/orders?keys=18&fields=o_comment"
    armed, disarmed = "o_comment\n=1+1\n", "o_comment\n'=1+1\n"
    assert lister.get(path, headers=CSV).text == armed
    assert lister.get(f"{path}&quote_formulas=false", headers=CSV).text == armed
    for spelling in ("true", "True"):
        assert lister.get(f"{path}&quote_formulas={spelling}", headers=CSV).text == disarmed
    assert lister.get(f"{path}&quote_formulas=true", headers=NDJSON).text == '{"o_comment":"=1+1"}\n'
    assert read(lister, f"{path}&quote_formulas=true")["orders"] == [{"o_comment": "=1+1"}]
    body = assert_problem(lister.get(f"{path}&quote_formulas=1"), 422, "invalid-request")
    assert [item["name"] for item in body["errors"]] == ["quote_formulas"]


def test_negative_numbers_are_no_formulas(lister: FlaskClient) -> None:
    path = "/orders/stream?o_totalprice_max=-0.01&fields=o_totalprice,o_shippriority"
    armed = lister.get(path, headers=CSV).text
    assert "-99.75" in armed
    assert lister.get(f"{path}&quote_formulas=true", headers=CSV).text == armed


@pytest.mark.parametrize("headers", [{}, CSV, NDJSON], ids=["json", "csv", "ndjson"])
@pytest.mark.parametrize(
    "path", ["/orders/pages?page_size=7", "/orders/stream?sort=o_clerk&page_size=7", "/orders?keys=3,1"]
)
def test_head_has_the_headers_of_get(lister: FlaskClient, path: str, headers: dict[str, str]) -> None:
    head, get = lister.head(path, headers=headers), lister.get(path, headers=headers)
    assert (head.status_code, head.data) == (200, b"")
    assert {*head.headers.keys()} == {*get.headers.keys()}
    for name in ("Content-Type", "Content-Length", "ETag", "Link", "Vary", "Cache-Control"):
        assert head.headers.getlist(name) == get.headers.getlist(name), name
