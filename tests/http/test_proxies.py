"""Where the client reaches the service, as proxies say it and as a stranger pretends."""

from collections.abc import Callable
from functools import cache

import pytest
from flask import Response
from flask.testing import FlaskClient

from lakebase_api.access.caller import Caller, Method, name_flow
from lakebase_api.environment import SettingsError
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.links import add_link_header, describe_links
from lakebase_api.http.request_context import current_exchange
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.http.unopened import build_app

SHOP = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example:8443",
    "X-Forwarded-Prefix": "/shop",
}


@cache
def open_client(**settings: str) -> FlaskClient:
    """An app whose ``/where`` answers with a link to itself."""

    def show() -> Response:
        links = describe_links({"self": {}})
        response = answer_json(links)
        add_link_header(response, links)
        return response

    app = build_app(**settings)
    app.add_url_rule("/where", view_func=show)
    return app.test_client()


def find_self(client: FlaskClient, headers: dict[str, str], path: str = "/where") -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    assert answer.json is not None
    url = str(answer.json["self"])
    assert answer.headers.getlist("Link") == [f'<{url}>; rel="self"']
    return url


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_links_lead_through_the_proxy_at_both_bases(base: str) -> None:
    client = open_client(FORWARDED_HOPS="1")
    assert find_self(client, SHOP, f"{base}/where") == f"https://shop.example:8443/shop{base}/where"
    assert find_self(client, {}, f"{base}/where") == f"http://localhost{base}/where"


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_the_front_page_leads_through_the_proxy_at_both_bases(base: str) -> None:
    client = open_client(FORWARDED_HOPS="1")
    direct, proxied = (client.get(f"{base}/", headers=headers).json for headers in ({}, SHOP))
    assert direct is not None
    assert proxied is not None
    assert direct["links"]["documentation"] == "/docs"
    assert proxied["links"] == {name: f"/shop{path}" for name, path in direct["links"].items()}


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_what_a_stranger_forwards_is_ignored_unless_a_proxy_is_trusted(base: str) -> None:
    for client in (
        open_client(),
        open_client(DATABRICKS_APP_NAME="orders-api", FORWARDED_HOPS="0", ANONYMOUS="read"),
    ):
        assert find_self(client, SHOP, f"{base}/where") == f"http://localhost{base}/where"


def test_on_databricks_apps_links_have_the_host_that_its_proxy_names_and_https() -> None:
    client = open_client(DATABRICKS_APP_NAME="orders-api", ANONYMOUS="read")
    host = {"X-Forwarded-Host": "orders-api-1.aws.databricksapps.com"}
    url = "https://orders-api-1.aws.databricksapps.com/api/v1/where"
    assert find_self(client, host, "/api/v1/where") == url


def test_of_several_proxies_the_outermost_is_believed_and_not_what_the_client_sent_it() -> None:
    client = open_client(FORWARDED_HOPS="2")
    headers = {
        "X-Forwarded-Proto": "http, https,http",
        "X-Forwarded-Host": "client.example, shop.example, inner.example",
        "X-Forwarded-Prefix": "/client,/shop , /inner",
    }
    assert find_self(client, headers) == "https://shop.example/shop/where"


@pytest.mark.parametrize("hops", ["2", "10"])
def test_with_fewer_values_than_proxies_none_is_believed(hops: str) -> None:
    assert find_self(open_client(FORWARDED_HOPS=hops), SHOP) == "http://localhost/where"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("SHOP.example", "http://SHOP.example"),
        ("192.0.2.1:81", "http://192.0.2.1:81"),
        ("[2001:db8::1]", "http://[2001:db8::1]"),
        ("[2001:db8::1]:81", "http://[2001:db8::1]:81"),
        ("shop.example:80", "http://shop.example"),
        ("orders_api:8110", "http://orders_api:8110"),
        ("_orders.example", "http://_orders.example"),
    ],
)
def test_every_form_of_host_is_taken(host: str, base: str) -> None:
    assert find_self(open_client(FORWARDED_HOPS="1"), {"X-Forwarded-Host": host}) == f"{base}/where"


NO_PARTS = [
    "java script:",
    "//evil.example",
    "/shop//evil",
    "evil.example/path",
    "evil.example?x=",
    "evil.example:port",
    "evil.example:123456",
    "user@evil.example",
    'evil.example>; rel="next", <x',
    "/shop>",
    "/shop%0d%0aSet-Cookie",
    "/shop%2Fa",
    "/shop%7f",
    "/shop%4",
    "/100%",
    '"evil.example\\',
    "évil.example",
    "[",
    "a b",
    "\x00\x7f",
]


@pytest.mark.parametrize("name", SHOP)
@pytest.mark.parametrize("value", NO_PARTS)
def test_when_one_part_is_none_that_a_url_has_none_is_taken_and_links_begin_with_the_path(
    name: str, value: str
) -> None:
    client = open_client(FORWARDED_HOPS="1")
    assert find_self(client, {**SHOP, name: value}) == "/where"


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X-Forwarded-Prefix"])
@pytest.mark.parametrize("value", NO_PARTS)
def test_without_a_host_of_the_proxy_links_lead_to_the_host_that_was_asked(name: str, value: str) -> None:
    client = open_client(FORWARDED_HOPS="1")
    assert find_self(client, {name: value}) == "http://localhost/where"


@pytest.mark.parametrize("name", SHOP)
@pytest.mark.parametrize("value", [",", "", " "])
def test_an_empty_header_is_as_good_as_absent(name: str, value: str) -> None:
    assert find_self(open_client(FORWARDED_HOPS="1"), {name: value}) == "http://localhost/where"


def test_a_port_that_no_server_has_breaks_nothing() -> None:
    client = open_client(FORWARDED_HOPS="1")
    assert find_self(client, {"X-Forwarded-Host": "shop.example:99999"}) == "/where"


@pytest.mark.parametrize("prefix", ["/shop", "/shop/", "/a.b/~c;d=e"])
def test_a_prefix_may_end_with_a_slash(prefix: str) -> None:
    url = find_self(open_client(FORWARDED_HOPS="1"), {"X-Forwarded-Prefix": prefix})
    assert url == f"http://localhost{prefix.rstrip('/').replace(';', '%3B').replace('=', '%3D')}/where"


@pytest.mark.parametrize(
    ("prefix", "written"),
    [
        ("/my%20shop", "/my%20shop"),
        ("/caf%C3%A9/%41", "/caf%C3%A9/A"),
        ("/café".encode().decode("latin-1"), "/caf%C3%A9"),
        ("/100%25", "/100%25"),
        ("/a%3fb%23", "/a%3Fb%23"),
    ],
)
def test_a_prefix_is_written_in_links_as_the_same_path(prefix: str, written: str) -> None:
    url = find_self(open_client(FORWARDED_HOPS="1"), {**SHOP, "X-Forwarded-Prefix": prefix}, "/api/v1/where")
    assert url == f"https://shop.example:8443{written}/api/v1/where"


def test_a_scheme_may_be_in_capitals() -> None:
    client = open_client(FORWARDED_HOPS="1")
    assert find_self(client, {**SHOP, "X-Forwarded-Proto": "HTTPS"}) == "https://shop.example:8443/shop/where"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("shop.example", "http://shop.example"),
        ("Shop.Example:8080", "http://Shop.Example:8080"),
        ("inner_1:8000", "http://inner_1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("inner_1:8001", ""),
        ("inner_1", ""),
        ("evil.example", ""),
        ("shop.example.evil.example", ""),
        ("evil.example:shop.example", ""),
        ("", ""),
    ],
)
def test_links_lead_to_allowed_hosts_only(host: str, base: str) -> None:
    client = open_client(ALLOWED_HOSTS="shop.example, inner_1:8000,[::1]")
    assert find_self(client, {"Host": host}) == f"{base}/where"


def test_the_host_that_a_proxy_says_is_one_of_the_allowed_or_not_taken() -> None:
    client = open_client(FORWARDED_HOPS="1", ALLOWED_HOSTS="shop.example")
    assert find_self(client, SHOP) == "https://shop.example:8443/shop/where"
    assert find_self(client, {**SHOP, "X-Forwarded-Host": "evil.example"}) == "/shop/where"


@pytest.mark.parametrize(
    "hosts", ["https://shop.example", "shop.example/", "*.example", "shop.example:port", "a b"]
)
def test_what_is_no_host_is_refused_as_an_allowed_one(hosts: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_HOSTS: Must have the form host or host:port"):
        open_client(ALLOWED_HOSTS=f"shop.example,{hosts}")


def test_the_root_is_no_prefix() -> None:
    assert find_self(open_client(FORWARDED_HOPS="1"), {"X-Forwarded-Prefix": "/"}) == "http://localhost/where"


def test_the_real_server_believes_no_header_about_tls_by_itself(
    unchanged_database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    gunicorn = start_gunicorn(unchanged_database.environment).wait_until_started()
    contradiction = {"X-Forwarded-Proto": "https", "X-Forwarded-Protocol": "http"}
    assert gunicorn.get("/livez", **contradiction).status_code == 200


def find_flow(address: str, headers: dict[str, str], **settings: str) -> str:
    """Whose connections a request of somebody unknown takes."""
    app = build_app(**settings)
    app.add_url_rule("/whose", view_func=lambda: answer_json(current_exchange().flow))
    client = app.test_client()
    return str(client.get("/whose", headers=headers, environ_base={"REMOTE_ADDR": address}).json)


@pytest.mark.parametrize(
    ("headers", "flow"),
    [
        ({}, "10.0.0.1"),
        ({"X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "198.51.100.7, 192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "198.51.100.7, ", "X-Real-Ip": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Real-Ip": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "unknown"}, "10.0.0.1"),
        ({"X-Forwarded-For": "2001:db8:1:2:3::4"}, "2001:db8:1:2::"),
        ({"X-Forwarded-For": "::ffff:192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": ":::"}, ":::"),
    ],
)
def test_somebody_unknown_is_told_apart_by_the_address_that_a_trusted_proxy_gives(
    headers: dict[str, str], flow: str
) -> None:
    assert find_flow("10.0.0.1", headers, FORWARDED_HOPS="1") == f"address:{flow}"
    assert find_flow("10.0.0.1", headers) == "address:10.0.0.1"


def test_of_several_proxies_the_outermost_says_the_address() -> None:
    headers = {"X-Forwarded-For": "198.51.100.7, 192.0.2.1, 10.0.0.2"}
    assert find_flow("10.0.0.1", headers, FORWARDED_HOPS="2") == "address:192.0.2.1"


def test_who_is_known_is_told_apart_by_subject_wherever_the_request_comes_from() -> None:
    ann = Caller("ann", "ann@example.com", Method.JWT)
    assert name_flow(ann, "10.0.0.1") == name_flow(ann, "10.0.0.2") == "subject:ann"
