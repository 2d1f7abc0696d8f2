"""HEAD against GET, over everything that the OpenAPI document lists and what it does not."""

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from tests.conftest import OrdersDatabase, make_app
from tests.gunicorn_process import GunicornProcess
from tests.http.unopened import build_app
from tests.orders.test_export_server import Starter

ACCEPTED = ("*/*", "text/csv", "application/x-ndjson", "text/html")
# For what takes parameters, queries that ask for its forms and parts of it.
QUERIES = {
    "/orders": ["keys=1,2,3,8", "keys=1&fields=o_clerk"],
    "/orders/pages": ["page_size=3", "page=99999", "sort=-o_clerk&page_size=2&include_count=false"],
    "/orders/stream": ["page_size=3", "cursor=7", "o_clerk=nobody", "sort=o_comment&page_size=2"],
    "/orders/export": ["format=csv", "format=ndjson", "header=false", "cursor=60000", "o_clerk=nobody"],
    "/orders/count": ["accuracy=exact", "accuracy=estimated", "o_orderstatus=F"],
    "/orders/sample": ["o_orderstatus=F"] * 5,
    "/readyz": ["verbose"],
}
BESIDE = [
    "/",
    "/docs",
    "/openapi.json",
    "/docs/assets/swagger-ui.css",
    "/problems",
    "/problems/not-found",
    "/nothing",
    "/docs/assets/nothing",
    "/orders/0",
    "/orders/2",
    "/orders/x",
    "/orders/1/status",
    "/orders/stream?page_size=0",
    "/orders/stream?nothing=1",
    "/orders/export?format=xml",
    "/livez?x",
]
DOCUMENT = json.loads(build_app().test_client().get("/openapi.json").data)


def list_targets() -> Iterator[str]:
    for path, operations in DOCUMENT["paths"].items():
        if "get" in operations:
            filled = path.replace("{order_key}", "1").replace("{slug}", "not-found")
            yield from (f"{filled}?{query}" for query in ("", "unknown=1", *QUERIES.get(path, ())))
        else:
            yield path.replace("{order_key}", "1")
    yield from BESIDE


@pytest.fixture(scope="module")
def client(unchanged_database: OrdersDatabase) -> Iterator[FlaskClient]:
    """A client of one app for all."""
    app = make_app(unchanged_database.environment)
    get_service(app).open()
    yield app.test_client()
    get_service(app).close()


@pytest.mark.parametrize("base", ["", "/api/v1"])
@pytest.mark.parametrize("target", dict.fromkeys(list_targets()))
def test_a_head_has_the_status_and_the_type_of_its_get_and_no_other_length(
    client: FlaskClient, base: str, target: str
) -> None:
    for accepted in ACCEPTED:
        headers = {"Accept": accepted}
        with (
            client.head(f"{base}{target}", headers=headers) as head,
            client.get(f"{base}{target}", headers=headers) as got,
        ):
            length = len(got.data)
            assert (head.status_code, head.content_type) == (got.status_code, got.content_type)
            assert head.data == b""
            # The audit grows meanwhile, by the exports that are asked for here.
            if not target.startswith("/audit"):
                assert head.headers.get("Content-Length", str(length)) == str(length)


def test_what_stays_as_it_is_says_its_length(client: FlaskClient) -> None:
    for path in ("/orders/1", "/orders/stream?page_size=2", "/openapi.json", "/docs/assets/swagger-ui.css"):
        with client.head(path) as head, client.get(path) as got:
            assert int(head.headers["Content-Length"]) == len(got.data)


def test_the_connection_serves_on_after_a_head_from_the_real_server(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    gunicorn: GunicornProcess = start_gunicorn(unchanged_database.environment).wait_until_started()
    for path in ("/orders/export", "/orders/sample", "/orders/1", "/livez"):
        head = gunicorn.session.head(gunicorn.url + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers.get("Transfer-Encoding") is None
        assert head.headers.get("Content-Length") != "0"
        assert gunicorn.get("/livez").json() == {"status": "alive"}
