"""Who is let in that says nothing of who they are, where what is set."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase

OPEN = [
    *("/livez", "/readyz", "/health", "/docs", "/openapi.json", "/problems", "/problems/unauthenticated"),
    "/status",
]
CLOSED = [
    "/",
    "/status.json",
    "/orders/1",
    "/orders/pages",
    "/orders/count",
    "/no-such-path",
    "/orders/1/history",
]
REACHABLE = {"BIND": "0.0.0.0:8000"}
ON_APPS = {"DATABRICKS_APP_NAME": "orders", "DATABRICKS_APP_PORT": "8000"}


@pytest.fixture(scope="module")
def connect(unchanged_database: OrdersDatabase, open_shared_app: AppOpener) -> Any:
    """Makes a client of an app with more settings, which is one for all tests that ask for the same."""
    apps: dict[str, Flask] = {}

    def connect_to(**settings: str) -> FlaskClient:
        name = str(settings)
        if name not in apps:
            apps[name] = open_shared_app({**unchanged_database.environment, **settings})
        return apps[name].test_client()

    return connect_to


def assert_unauthenticated(client: FlaskClient, path: str, **options: Any) -> str:
    """What a 401 without a word of a wrong credential says."""
    answer = client.open(path, **options)
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["type"] == "/problems/unauthenticated"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="lakebase-api"'
    return str(answer.json["detail"])


def assert_served(client: FlaskClient, **headers: str) -> None:
    assert client.get("/orders/1", headers=headers).status_code == 200


def test_on_a_loopback_address_with_nothing_set_everything_is_served(connect: Any) -> None:
    client = connect()
    for path in ("/", "/orders/1", *OPEN):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("settings", [REACHABLE, {"PORT": "8000"}, {"BIND": "fd://3"}])
def test_on_another_address_with_nothing_set_probes_and_documentation_are_served_alone(
    connect: Any, settings: dict[str, str]
) -> None:
    client = connect(**settings)
    for base in ("", "/api/v1"):
        for path in OPEN:
            assert client.get(base + path).status_code == 200, path
        for path in ("/docs/assets/swagger-ui.css", "/pages/style.css"):
            with client.get(base + path) as asset:
                assert asset.status_code == 200
        for path in CLOSED:
            said = assert_unauthenticated(client, base + path)
            for way in (
                "ANONYMOUS",
                "JWT_ISSUER",
                "API_KEYS_FILE",
                "TRUST_FORWARDED_IDENTITY",
                "RIGHTS_FILE",
            ):
                assert way in said


@pytest.mark.parametrize(
    "path", ["/livez/", "//livez", "/livez/x", "/docs/../orders/1", "/readyz%2f", "/DOCS"]
)
def test_what_only_looks_like_an_open_path_is_closed(connect: Any, path: str) -> None:
    assert_unauthenticated(connect(**REACHABLE), path)


def test_a_method_that_an_open_path_does_not_have_is_closed(connect: Any) -> None:
    assert_unauthenticated(connect(**REACHABLE), "/livez", method="POST")


def test_a_body_is_not_read_of_somebody_who_is_not_known(connect: Any) -> None:
    wrong = {"method": "POST", "data": b"x" * 100_000, "content_type": "text/plain"}
    assert_unauthenticated(connect(**REACHABLE), "/orders/1/status", **wrong)


@pytest.mark.parametrize("meant", ["read", "all"])
def test_strangers_are_let_in_where_that_is_meant(connect: Any, meant: str) -> None:
    assert_served(connect(**REACHABLE, ANONYMOUS=meant))


@pytest.mark.parametrize("variable", ["ANONYMOUS", "RIGHTS_FILE"])
def test_strangers_are_not_let_in_on_a_loopback_address_either_once_something_is_set(
    connect: Any, tmp_path: Path, variable: str
) -> None:
    rights = tmp_path / "rights.toml"
    rights.write_text('[roles]\nreader = ["orders:read"]\n')
    value = str(rights) if variable == "RIGHTS_FILE" else "off"
    said = assert_unauthenticated(connect(**{variable: value}), "/orders/1")
    assert said.startswith("Send an API key, or a token")


@pytest.mark.parametrize("settings", [ON_APPS, {"TRUST_FORWARDED_IDENTITY": "true"}])
def test_where_the_proxy_says_who_calls_whom_it_does_not_name_is_not_known(
    connect: Any, settings: dict[str, str]
) -> None:
    client = connect(**settings)
    assert_served(client, **{"X-Forwarded-User": "7930@7474"})
    for headers in ({}, {"X-Forwarded-Email": "ada@example.com"}, {"X-Forwarded-User": " "}):
        said = assert_unauthenticated(client, "/orders/1", headers=headers)
        assert said == "The proxy in front did not say who calls: there is no X-Forwarded-User."


@pytest.mark.parametrize("authorization", ["Bearer lbk_x", "Bearer a.b.c", "Basic YTpi", "nonsense"])
def test_behind_a_proxy_that_says_who_calls_authorization_is_not_looked_at(
    connect: Any, authorization: str
) -> None:
    platform = {"X-Forwarded-User": "7930@7474", "Authorization": authorization}
    assert_served(connect(**ON_APPS), **platform)
    assert_served(connect(TRUST_FORWARDED_IDENTITY="true"), **platform)
    for more in ({}, {"TRUST_FORWARDED_IDENTITY": "false"}):
        assert_served(connect(**ON_APPS, ANONYMOUS="all", **more), Authorization=authorization)


def test_forwarded_headers_are_no_way_in_where_no_proxy_is_trusted(connect: Any) -> None:
    forged = {"X-Forwarded-User": "7930@7474", "X-Forwarded-Email": "ada@example.com"}
    for settings in ({"ANONYMOUS": "off"}, REACHABLE, {**ON_APPS, "TRUST_FORWARDED_IDENTITY": "false"}):
        assert_unauthenticated(connect(**settings), "/orders/1", headers=forged)


@pytest.mark.parametrize(
    "name", ["key:billing", "anonymous", "local", "*", "claim:groups=sales", "x" * 321, "a\tb"]
)
def test_a_proxy_cannot_name_somebody_whom_the_service_names(connect: Any, name: str) -> None:
    client = connect(TRUST_FORWARDED_IDENTITY="true")
    said = assert_unauthenticated(client, "/orders/1", headers={"X-Forwarded-User": name})
    assert said.startswith("X-Forwarded-User ")


@pytest.mark.parametrize(
    "authorization", ["Basic YTpi", "Bearer", "Bearer ", "Bearer a.b.c", "lbk_x", "bearer x y"]
)
@pytest.mark.parametrize("settings", [{}, {"ANONYMOUS": "all"}, {"ANONYMOUS": "off"}])
def test_what_was_sent_and_is_wrong_is_refused_also_where_strangers_are_let_in(
    connect: Any, settings: dict[str, str], authorization: str
) -> None:
    answer = connect(**settings).get("/orders/1", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith(
        'Bearer realm="lakebase-api", error="invalid_token", error_description="'
    )


def test_a_browser_may_ask_at_first_what_its_page_may_send(connect: Any) -> None:
    client = connect(ANONYMOUS="off", CORS_ORIGINS="https://shop.example")
    page = {"Origin": "https://shop.example"}
    asks = {**page, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    answer = client.options("/orders/1", headers=asks)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization"
    assert client.options("/orders/1", headers=page).status_code == 401
    refused = client.get("/orders/1", headers=page)
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, page["Origin"])
    assert "WWW-Authenticate" in refused.headers["Access-Control-Expose-Headers"].split(", ")
