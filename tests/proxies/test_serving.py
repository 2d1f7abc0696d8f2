"""What goes through a proxy that is set up as docs/ says."""

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import clone_database
from tests.proxies.conftest import Front, start_front
from tests.reverse_proxies import HAPROXY, NAMES
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

FORGED = {
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Port": "81",
    "X-Forwarded-For": "192.0.2.66",
    "X-Real-Ip": "192.0.2.66",
    "Forwarded": "for=192.0.2.66;host=evil.example",
    "X-Forwarded-User": "mallory",
    "X-Forwarded-Email": "mallory@evil.example",
    "X-Forwarded-Preferred-Username": "mallory",
    "X-Forwarded-Access-Token": "mallory",
    "X_Forwarded_User": "mallory",
}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# More than all buffers between the service and a client hold.
LARGE = """
INSERT INTO orders_synced (o_orderkey, o_comment)
SELECT number, repeat('large ', 5000) FROM generate_series(100001, 102000) AS number
"""
ROWS = 17_000
# Those of one caller, and where they ask from.
ACCESS_LOG = {
    "GUNICORN_CMD_ARGS": "--access-logfile -",
    "TRUST_FORWARDED_IDENTITY": "true",
    "ANONYMOUS": "all",
}


@pytest.fixture(scope="module", params=NAMES)
def front(
    request: pytest.FixtureRequest, server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """One of the proxies, with TLS as docs/ has it, in front of orders some of which are large."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(request.param)
        database = clone_database(server, f"orders_behind_{request.param}")
        database.execute(LARGE)
        environment = {**database.environment, **ACCESS_LOG}
        yield start_front(stack, request.param, environment, folder, is_tls=True)


def test_a_row_has_a_strong_etag_for_changes_also_where_its_reader_takes_gzip(front: Front) -> None:
    with front.connect() as client:
        # Large, so that it would be worth it.
        row = client.get(f"{front.proxy.url}/orders/100001", headers={"Accept-Encoding": "gzip"})
        etag = {"If-Match": row.headers["ETag"]}
        assert "Content-Encoding" not in row.headers
        url = f"{front.proxy.url}/orders/100001/status"
        first, again = (client.post(url, json={"o_orderstatus": "F"}, headers=etag) for _ in range(2))
        assert (first.status_code, again.status_code) == (200, 412)
        current = {"If-Match": first.headers["ETag"], "Content-Type": "application/merge-patch+json"}
        patched = client.patch(
            f"{front.proxy.url}/orders/100001", data='{"o_orderstatus": "P"}', headers=current
        )
        assert patched.status_code == 200


@pytest.mark.parametrize("base", ["", "/api/v1"])
@pytest.mark.parametrize("media_type", ["application/json", "text/csv", "application/x-ndjson"])
def test_lists_are_compressed_and_their_etag_still_says_that_nothing_has_changed(
    front: Front, media_type: str, base: str
) -> None:
    headers = {"Accept": media_type, "Accept-Encoding": "gzip"}
    with front.connect() as client:
        url = f"{front.proxy.url}{base}/orders/stream?page_size=100"
        answer = client.get(url, headers=headers)
        assert (answer.headers["Content-Encoding"], answer.status_code) == ("gzip", 200)
        assert "Accept-Encoding" in answer.headers["Vary"]

        def is_unchanged() -> bool:
            etag = client.get(url, headers=headers).headers["ETag"]
            return client.get(url, headers={**headers, "If-None-Match": etag}).status_code == 304

        # Between the two the service may have written what it writes once a minute.
        front.wait_until(is_unchanged)


def test_an_export_arrives_whole_and_compressed(front: Front) -> None:
    with front.connect() as client:
        url = f"{front.proxy.url}/orders/export?format=csv&header=false"
        answer = client.get(url, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.text.count("\n") == ROWS


def test_an_export_waits_for_its_reader_and_is_not_put_into_files(front: Front) -> None:
    """Its reader takes the first rows, and the rest later: until then the service has not sent all."""
    context = ssl.create_default_context(cafile=str(front.folder / "authority.pem"))
    with socket.create_connection(("127.0.0.1", front.proxy.port), PATIENCE) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(
                b"GET /orders/export?format=ndjson HTTP/1.1\r\nHost: localhost\r\n"
                b"X-Request-Id: slow-export\r\n\r\n"
            )
            answer = http.client.HTTPResponse(client)
            with closing(answer):
                answer.begin()
                rows = [json.loads(answer.readline())["o_orderkey"]]
                assert find_export_line(front, "slow-export") is None
                assert all(path.stat().st_size == 0 for path in (front.folder / "proxy").rglob("[0-9]*"))
                rows += [json.loads(line).get("o_orderkey") for line in answer]
    # The last line is the cursor's, and says that there is no more.
    assert (len(rows), rows[-1]) == (ROWS + 1, None)


def find_export_line(front: Front, request_id: str) -> str | None:
    """The line of the log that says how an export has ended, once it has."""
    lines = front.output.splitlines()
    return next((line for line in lines if "Export:" in line and request_id in line), None)


def test_links_lead_through_the_proxy_whatever_a_client_says(front: Front) -> None:
    with front.connect() as client:
        answer = client.get(f"{front.proxy.url}/orders/stream?page_size=2", headers=FORGED)
        following = answer.json()["links"]["next"]
        assert following.startswith(f"{front.proxy.url}/orders/stream?")
        assert "evil" not in answer.text + str(answer.headers)
        assert client.get(following).status_code == 200


def test_who_calls_is_not_who_a_client_says(front: Front) -> None:
    with front.connect() as client:
        me: dict[str, Any] = client.get(f"{front.proxy.url}/me", headers=FORGED).json()
    assert me["subject"] == "anonymous"
    assert "mallory" not in json.dumps(me)
    # Where a client asks from, as gunicorn's own log of requests begins with.
    front.wait_until(lambda: '"GET /me HTTP/1.1"' in front.output)
    assert re.search(r'^127\.0\.0\.1 .*"GET /me HTTP/1.1"', front.output, re.MULTILINE)
    assert "192.0.2.66" not in front.output


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Request-Id": "given-1"}, "given-1"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"X-Request-Id": "given-2", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "given-2"),
        ({}, r"[0-9a-f-]{32,36}"),
    ],
)
def test_a_request_has_one_id_in_its_answer_and_in_both_logs(
    front: Front, headers: dict[str, str], expected: str
) -> None:
    with front.connect() as client:
        answer = client.get(f"{front.proxy.url}/orders/1", headers=headers)
    request_id = answer.headers["X-Request-Id"]  # several would stand there with commas
    assert re.fullmatch(expected, request_id)
    front.wait_until(lambda: request_id in front.output)
    # HAProxy tells what it was sent, which of a trace is not the id alone.
    if not (front.proxy.name == HAPROXY and expected == TRACE):
        front.wait_until(lambda: request_id in front.proxy.log.read_text())


def test_a_body_that_is_too_large_is_refused_by_the_service_in_its_own_words(front: Front) -> None:
    with front.connect() as client:
        body = {"o_orderstatus": "F" * 100_000}
        answer = client.post(f"{front.proxy.url}/orders/1/status", json=body)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/content-too-large")
