"""Where to listen, and hosts and pages that are let in or asked: as people write them in settings."""

import pytest

from lakebase_api.environment import load_settings
from tests.environments import ENDPOINT, STATIC, mistakes


def test_the_address_is_that_of_the_platform_unless_said_otherwise() -> None:
    assert load_settings(STATIC).address == "127.0.0.1:8000"
    assert load_settings({**STATIC, "PORT": "8114"}).address == "0.0.0.0:8114"
    app = {**STATIC, "PORT": "8114", "DATABRICKS_APP_PORT": "9000"}
    assert load_settings(app).address == "0.0.0.0:9000"
    assert load_settings({**app, "BIND": "[::1]:7000"}).address == "[::1]:7000"


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("localhost:8000", "localhost:8000"),
        (":8114", "0.0.0.0:8114"),
        ("[::]:8000", "[::]:8000"),
        ("tcp://10.0.0.1:80", "10.0.0.1:80"),
        ("unix:/tmp/orders.sock", "unix:/tmp/orders.sock"),
        ("unix:orders.sock", "unix:orders.sock"),
        ("fd://3", "fd://3"),
    ],
)
def test_it_listens_where_gunicorn_can(bind: str, address: str) -> None:
    assert load_settings({**STATIC, "BIND": bind}).address == address


@pytest.mark.parametrize(
    "bind",
    [
        "8114",
        "localhost",
        "http://0.0.0.0:8114",
        "0.0.0.0:8114/",
        "::1:8000",
        "[::1]",
        "[::g]:8000",
        "256.0.0.1:8000",
        "127.0.0.1:8000,[::1]:8000",
        "*:8000",
        "unix:",
        "unix:/no/such/folder/orders.sock",
        f"unix:/tmp/{'long' * 30}",
        "fd://three",
    ],
)
def test_what_gunicorn_would_die_of_is_refused_by_name(bind: str) -> None:
    assert mistakes({**STATIC, "BIND": bind})[0].startswith("BIND: ")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://My-Workspace.cloud.databricks.com/?o=1", "https://my-workspace.cloud.databricks.com"),
        ("adb-12.3.azuredatabricks.net", "https://adb-12.3.azuredatabricks.net"),
        ("http://localhost:8080/login.html#x", "http://localhost:8080"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("'https://x.example.com/browse/folders/1?o=2#job/list'", "https://x.example.com"),
    ],
)
def test_of_the_workspaces_url_scheme_and_host_are_taken(given: str, taken: str) -> None:
    assert load_settings({**ENDPOINT, "DATABRICKS_HOST": given}).databricks_host == taken


@pytest.mark.parametrize(
    "given",
    [
        "None",
        "https://",
        "https:///path",
        "https://https://x.example.com",
        "https//x.example.com",
        "ftp://x.example.com",
        "https://my workspace.example.com",
        "https://ann:hunter2@x.example.com",
        "https://x.example.com:port",
        "https://[::1",
        "https://1.2.3",
        "?o=123",
    ],
)
def test_what_is_no_url_of_a_workspace_is_refused_by_name(given: str) -> None:
    [line] = mistakes({**ENDPOINT, "DATABRICKS_HOST": given})
    assert line.startswith("DATABRICKS_HOST: Must be the URL of the workspace")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "host",
    [
        "db.example.com:5432",
        "https://db.example.com",
        "postgresql://ann:hunter2@db.example.com/shop",
        "[::1]",
        "db.example.com/shop",
        "localhost,",
        "a b",
    ],
)
def test_what_is_no_host_of_a_database_is_refused_by_name_and_not_shown(host: str) -> None:
    [line] = mistakes({**STATIC, "PGHOST": host})
    assert line.startswith("PGHOST: Must be a name, an address or the folder of a socket")
    assert host not in line


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://shop.example.com", ["https://shop.example.com"]),
        ("HTTPS://Shop.Example.com:443", ["https://shop.example.com"]),
        ("http://localhost:3000, https://a.example", ["http://localhost:3000", "https://a.example"]),
        ("http://[::1]:80", ["http://[::1]"]),
        ("capacitor://localhost", ["capacitor://localhost"]),
        ("*", ["*"]),
    ],
)
def test_origins_are_taken_as_browsers_say_them(given: str, taken: list[str]) -> None:
    assert list(load_settings({**STATIC, "CORS_ORIGINS": given}).cors_origins) == taken


@pytest.mark.parametrize(
    "given",
    [
        "https://shop.example.com/",
        "https://*.example.com",
        "https://shop.example.com:*",
        "shop.example.com",
        "https://shop.example.com?",
        "https://ann@shop.example.com",
        "https://.*",
        "https://(a|b).example.com",
        "^https://shop.example.com$",
        "https://shop.example.com,",
        "https://a.example;https://b.example",
        "null",
        ".*",
        "https://shop.example.com:99999",
        "https://300.1.1.1",
    ],
)
def test_what_no_browser_says_of_an_origin_is_refused_by_name(given: str) -> None:
    [line] = mistakes({**STATIC, "CORS_ORIGINS": given})
    assert line.startswith("CORS_ORIGINS: Must be * or origins such as")
