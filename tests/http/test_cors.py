"""What pages of other origins may do, as a browser would ask for it."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import AppOpener, OrdersDatabase

SHOP = "https://shop.example.com"
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
# https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name
SAFELISTED = {
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
}
# For browsers and caches, not for scripts.
NOT_FOR_SCRIPTS = {"vary", "x-content-type-options", "content-security-policy", "x-frame-options"}


def open_to(
    open_app: AppOpener, database: OrdersDatabase, origins: str, credentials: str = "false"
) -> FlaskClient:
    settings = {"CORS_ORIGINS": origins, "CORS_CREDENTIALS": credentials}
    return open_app({**database.environment, **settings}).test_client()


def test_an_origin_is_let_in_to_the_letter(unchanged_database: OrdersDatabase, open_app: AppOpener) -> None:
    origins = f"{SHOP}, http://[::1]:3000, https://a-b.example.com:8443"
    client = open_to(open_app, unchanged_database, origins)
    for origin in origins.split(", "):
        answer = client.get("/orders/1", headers={"Origin": origin})
        assert answer.headers.getlist(ALLOW_ORIGIN) == [origin]
    for other in (
        f"{SHOP}.evil.net",
        f"{SHOP}:8443",
        f"{SHOP}/",
        f"{SHOP}\n",
        "https://shopxexample.com",
        "https://xshop.example.com",
        "http://shop.example.com",
        "http://:3000",
        "http://::1:3000",
        "https://a.example.com:8443",
        "null",
        "*",
        "",
    ):
        answer = client.get("/orders/1", environ_overrides={"HTTP_ORIGIN": other})
        assert ALLOW_ORIGIN not in answer.headers, other
        assert "Origin" in answer.vary
    assert ALLOW_ORIGIN not in client.get("/orders/1").headers


def test_any_page_may_call_where_the_setting_says_so(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    answer = open_to(open_app, unchanged_database, "*").get("/orders/1", headers={"Origin": SHOP})
    assert answer.headers.getlist(ALLOW_ORIGIN) == ["*"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("credentials", ["true", "false"])
def test_a_page_sends_logins_where_the_setting_says_so(
    unchanged_database: OrdersDatabase, open_app: AppOpener, credentials: str
) -> None:
    client = open_to(open_app, unchanged_database, SHOP, credentials)
    expected = "true" if credentials == "true" else None
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "PATCH"}
    for answer in (
        client.get("/orders/1", headers={"Origin": SHOP}),
        client.options("/orders/1", headers=asked),
    ):
        assert answer.headers.get("Access-Control-Allow-Credentials") == expected
    other = client.get("/orders/1", headers={"Origin": "https://evil.net"})
    assert "Access-Control-Allow-Credentials" not in other.headers


def test_a_browser_is_let_make_each_kind_of_change(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_to(open_app, unchanged_database, SHOP)
    wanted = "content-type, idempotency-key, if-match, prefer, x-request-id, x-request-timeout"
    for method in ("POST", "PATCH", "DELETE"):
        asked = {
            "Origin": SHOP,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": wanted,
        }
        answer = client.options("/orders/1/status", headers=asked)
        assert answer.status_code == 200
        assert method in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == wanted


def test_scripts_can_read_each_header_of_each_answer(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_to(open_app, database, SHOP)
    origin = {"Origin": SHOP}
    change = {**origin, "Idempotency-Key": '"k"', "Prefer": "return=minimal"}
    body = {"o_orderstatus": "P"}
    answers: list[TestResponse] = [
        *(
            client.get(path, headers=origin)
            for path in (
                "/orders/1",
                "/orders?keys=1,7",
                "/orders/count",
                "/orders/sample",
                "/orders/pages",
                "/orders/stream?sort=o_clerk",
                "/orders/export?format=csv",
                "/orders/export?format=ndjson",
                "/orders/1/history",
                "/readyz?verbose",
                "/openapi.json",
                "/docs",
                "/nowhere",
            )
        ),
        client.put("/orders/1", headers=origin),
        *(client.post("/orders/1/status", json=body, headers=change) for _ in range(2)),
        client.post("/orders/1/status", json=body, headers={**origin, "If-Match": '"0"'}),
    ]
    for answer in answers:
        exposed = {
            name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")
        }
        assert {"etag", "link", "retry-after", "x-request-id", "idempotent-replayed"} <= exposed
        found = {name.lower() for name, _ in answer.headers if not name.startswith("Access-Control-")}
        assert found - SAFELISTED - NOT_FOR_SCRIPTS <= exposed
