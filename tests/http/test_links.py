"""The links of a list, made for requests of every kind."""

import re

import pytest
from flask import Response, request
from flask.ctx import RequestContext
from requests.utils import parse_header_links
from werkzeug.datastructures import MultiDict

from lakebase_api.http.links import GREATEST_HEADER, Targets, add_link_header, describe_links
from tests.http.unopened import build_app

APP = build_app()


def ask(query: str | bytes) -> RequestContext:
    """A request whose query has these very bytes, as WSGI has them."""
    raw = query.encode() if isinstance(query, str) else query
    return APP.test_request_context(
        "/orders/stream", environ_overrides={"QUERY_STRING": raw.decode("latin-1")}
    )


def links(query: str | bytes, targets: Targets) -> dict[str, str | None]:
    with ask(query):
        return describe_links(targets)


def follow(url: str | None) -> MultiDict[str, str]:
    """The query parameters as the service reads them from a link."""
    assert url is not None
    assert re.fullmatch(r"http://localhost/orders/stream(\?[A-Za-z0-9._~!$&*+/:=?@%-]+)?", url)
    with APP.test_request_context(url):
        return request.args


def test_a_link_is_the_same_list_with_other_parameters() -> None:
    found = links(
        "cursor=9&page_size=5",
        {"self": {}, "first": {"cursor": None}, "prev": {"cursor": 4}, "next": {"cursor": 14}, "last": None},
    )
    assert found == {
        "self": "http://localhost/orders/stream?cursor=9&page_size=5",
        "first": "http://localhost/orders/stream?page_size=5",
        "prev": "http://localhost/orders/stream?cursor=4&page_size=5",
        "next": "http://localhost/orders/stream?cursor=14&page_size=5",
        "last": None,
    }


def test_a_parameter_that_the_request_has_not_comes_last() -> None:
    assert links("a=1", {"next": {"cursor": 7}})["next"] == "http://localhost/orders/stream?a=1&cursor=7"
    assert links("", {"next": {"cursor": 7}})["next"] == "http://localhost/orders/stream?cursor=7"
    assert links("cursor=7", {"first": {"cursor": None}})["first"] == "http://localhost/orders/stream"


def test_repeated_parameters_stay_where_they_are_and_a_new_value_replaces_all_of_its_name() -> None:
    found = links("cursor=1&date=a&x=1&date=b&cursor=2&cursor=3", {"next": {"cursor": 9}})
    assert found["next"] == "http://localhost/orders/stream?cursor=9&date=a&x=1&date=b"


def test_a_truth_value_is_written_as_the_api_reads_it() -> None:
    [url] = links("", {"next": {"include_count": False}}).values()
    assert follow(url) == MultiDict({"include_count": "false"})


@pytest.mark.parametrize(
    "query",
    [
        "clerk=Clerk%23000000951&comment=a+b%20c%2Bd",
        "a=%26%3D%25&a=%2526&b=100%",
        "a=%zz&b=%&c=%4",
        "name=%C3%A9%E2%82%AC&name=é€",
        "x=<a>\"b\"&y='c'&z=[d]{e}|f\\g^h`i",
        "date=gte:1996-01-01,lt:1997-01-01&sort=-o_orderdate",
        "verbose&empty=&=nameless&&x=1;y=2",
        "a b=c d&a=1?2/3#4",
    ],
)
def test_what_the_request_asked_is_asked_by_its_links_too(query: str) -> None:
    with ask(query):
        asked = list(request.args.items(multi=True))
    found = links(query, {"self": {}, "next": {"cursor": "é&=#+ %"}})
    assert list(follow(found["self"]).items(multi=True)) == asked
    assert list(follow(found["next"]).items(multi=True)) == [*asked, ("cursor", "é&=#+ %")]
    # And a link of a link does not grow.
    assert links(str(found["self"]).partition("?")[2], {"self": {}}) == {"self": found["self"]}


def test_bytes_that_are_no_text_are_kept() -> None:
    [url] = links(b"a=%FF%c3&b=\xff", {"self": {}}).values()
    assert url == "http://localhost/orders/stream?a=%FF%c3&b=%FF"


def test_a_name_is_known_however_it_is_spelt() -> None:
    assert links("%63urs%6Fr=1&x+y=2", {"next": {"cursor": 2, "x y": None}}) == {
        "next": "http://localhost/orders/stream?cursor=2"
    }


def test_links_keep_the_base_and_the_path_of_the_request() -> None:
    def show(name: str) -> Response:
        return Response(str(describe_links({"self": {}})["self"]))

    app = build_app()
    app.add_url_rule("/é/<name>", view_func=show)
    client = app.test_client()
    assert client.get("/%C3%A9/a%20b%3F%3E").text == "http://localhost/%C3%A9/a%20b%3F%3E"
    assert client.get("/api/v1/%C3%A9/x?y=1").text == "http://localhost/api/v1/%C3%A9/x?y=1"


@pytest.mark.parametrize("host", ["", "a b", "evil.example/x", '"><', "x:y", "ü"])
def test_without_a_usable_host_links_begin_with_the_path(host: str) -> None:
    with APP.test_request_context("/orders/stream?a=1", environ_overrides={"HTTP_HOST": host}):
        assert describe_links({"self": {}}) == {"self": "/orders/stream?a=1"}


def test_the_header_says_what_the_body_says_but_for_the_pages_that_are_not_there() -> None:
    response = Response()
    found = links("a=b%2Cc,d;e&f='g'", {"self": {}, "prev": None, "next": {"cursor": 7}})
    add_link_header(response, found)
    assert parse_header_links(response.headers["Link"]) == [
        {"url": found["self"], "rel": "self"},
        {"url": found["next"], "rel": "next"},
    ]


def test_a_list_without_other_pages_has_no_header() -> None:
    response = Response()
    add_link_header(response, {"prev": None, "next": None})
    assert "Link" not in response.headers


def test_links_of_long_urls_leave_the_header_before_it_is_too_long_for_proxies() -> None:
    long = f"a={'x' * (GREATEST_HEADER - 200)}"
    response = Response()
    add_link_header(response, links(long, {"next": {"cursor": 1}, "prev": {"cursor": 0}, "self": {}}))
    [link] = parse_header_links(response.headers["Link"])
    assert link["rel"] == "next"
    response = Response()
    add_link_header(response, links(2 * long, {"next": {"cursor": 1}}))
    assert "Link" not in response.headers
