"""Answers from memory: when there are any, and what they say of themselves."""

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg_pool import TooManyRequests
from werkzeug.test import TestResponse

from lakebase_api.app import get_service
from lakebase_api.http.result_cache import Outcome, ResultCache
from tests.conftest import AppOpener, OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.orders.changing import set_status
from tests.waiting import wait_until

PATH = "/orders/stream?page_size=5"
READS = [
    PATH,
    f"{PATH}&sort=-o_totalprice",
    "/orders/pages?page_size=5&include_count=false",
    "/orders?keys=1,2",
]
VALIDATED = "lakebase-api; fwd=stale; fwd-status=304"
MISSED = "lakebase-api; fwd=uri-miss; stored"


def tell(answer: TestResponse) -> str:
    """What an answer says of memory."""
    assert answer.status_code in (200, 304), answer.text
    return answer.headers["Cache-Status"]


@pytest.mark.parametrize("path", READS)
def test_an_answer_is_shown_again_as_it_was_until_something_changes(
    client: FlaskClient, database: OrdersDatabase, path: str
) -> None:
    first = client.get(path)
    again = client.get(path)
    assert (tell(first), tell(again)) == (MISSED, VALIDATED)
    for name in ("Content-Type", "ETag", "Link", "Vary", "Cache-Control", "Content-Length"):
        assert again.headers.getlist(name) == first.headers.getlist(name), name
    assert again.data == first.data
    assert "Age" not in again.headers
    database.execute("UPDATE orders_synced SET o_comment = 'new' WHERE o_orderkey = 1")
    changed = client.get(path)
    assert tell(changed) == "lakebase-api; fwd=stale; stored"
    assert tell(client.get(path)) == VALIDATED


def test_a_change_shows_at_once_on_every_host(database: OrdersDatabase, open_app: AppOpener) -> None:
    one, other = (open_app(database.environment).test_client() for _ in range(2))
    for client in (one, other, one, other):
        client.get(PATH)
    assert set_status(one, 1, "F").status_code == 200
    for client in (other, one):
        assert client.get(PATH).get_json()["orders"][0]["o_orderstatus"] == "F"


def test_forms_and_queries_are_not_mixed_up(client: FlaskClient) -> None:
    forms = ("application/json", "text/csv", "application/x-ndjson")
    paths = (PATH, f"{PATH}&fields=o_clerk", f"/api/v1{PATH}", "/orders/stream?page_size=6")
    asked = [(path, form) for path in paths for form in forms]
    first = {(path, form): client.get(path, headers={"Accept": form}).data for path, form in asked}
    assert len(set(first.values())) >= len(forms) * 3
    for path, form in asked:
        answer = client.get(path, headers={"Accept": form})
        assert (answer.data, tell(answer)) == (first[path, form], VALIDATED)


def test_a_client_that_has_it_already_is_told_so_from_memory(client: FlaskClient) -> None:
    etag = client.get(PATH).headers["ETag"]
    again = client.get(PATH, headers={"If-None-Match": etag})
    assert (again.status_code, again.data, tell(again)) == (304, b"", VALIDATED)
    assert again.headers["ETag"] == etag
    assert client.get(PATH, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_request_that_wants_it_anew_gets_it_so(client: FlaskClient) -> None:
    client.get(PATH)
    anew = client.get(PATH, headers={"Cache-Control": "no-cache"})
    assert tell(anew) == "lakebase-api; fwd=request; stored"
    assert tell(client.get(PATH)) == VALIDATED


def test_what_a_request_forbids_to_keep_is_not_kept(client: FlaskClient) -> None:
    assert tell(client.get(PATH, headers={"Cache-Control": "no-store"})) == "lakebase-api; fwd=uri-miss"
    assert tell(client.get(PATH)) == MISSED


def test_who_wants_nothing_but_memory_is_told_when_there_is_nothing(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app({**database.environment, "RESULT_CACHE_TTL": "3600"}).test_client()
    only = {"Cache-Control": "only-if-cached"}
    refused = client.get(PATH, headers=only)
    assert (refused.status_code, refused.get_json()["type"]) == (504, "/problems/not-in-memory")
    client.get(PATH)
    assert tell(client.get(PATH, headers=only)).startswith("lakebase-api; hit; ttl=")


def test_within_its_ttl_an_answer_needs_no_database(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**database.environment, "RESULT_CACHE_TTL": "3600"}).test_client()
    first, row = client.get(PATH), client.get("/orders/1")
    assert first.headers["Cache-Control"] == row.headers["Cache-Control"] == "private, max-age=3600"
    assert set_status(client, 1, "F").status_code == 200
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced IN ACCESS EXCLUSIVE MODE")
        for path, before in ((PATH, first), ("/orders/1", row)):
            again = client.get(path)
            assert again.data == before.data
            assert tell(again).startswith("lakebase-api; hit; ttl=3")
            assert int(again.headers["Age"]) < 3600
        holder.rollback()
    # The client may want it newer, or may take what is older.
    assert client.get(PATH, headers={"Cache-Control": "max-age=0"}).data != first.data


def test_a_client_may_take_what_is_older(client: FlaskClient, database: OrdersDatabase) -> None:
    first = client.get(PATH)
    database.execute("UPDATE orders_synced SET o_comment = 'new' WHERE o_orderkey = 1")
    stale = client.get(PATH, headers={"Cache-Control": "max-stale=3600"})
    assert stale.data == first.data
    assert int(stale.headers["Age"]) < 3600
    assert client.get(PATH).data != first.data


@pytest.mark.parametrize("path", ["/orders/0", "/orders/stream?page_size=0"])
def test_problems_are_not_kept(client: FlaskClient, path: str) -> None:
    assert [client.get(path).status_code for _ in range(2)].count(200) == 0
    assert get_cache(client).use.answers == 0


@pytest.mark.parametrize("path", ["/orders/sample", "/orders/export?o_orderkey_max=5", "/orders/count"])
def test_samples_exports_and_counts_are_not_kept(client: FlaskClient, path: str) -> None:
    for _ in range(2):
        with client.get(path) as answer:
            assert "Cache-Status" not in answer.headers


def test_without_memory_everything_is_read(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**database.environment, "RESULT_CACHE_SIZE": "0"}).test_client()
    for _ in range(2):
        answer = client.get(PATH)
        assert "Cache-Status" not in answer.headers
        assert answer.headers["Cache-Control"] == "private, no-cache"


def test_a_count_is_no_older_than_it_may_be(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**database.environment, "COUNT_TTL": "0"}).test_client()
    path = "/orders/pages?page_size=5"
    assert client.get(path).get_json()["pagination"]["total_count"] == 15_000
    assert tell(client.get(path)) == "lakebase-api; fwd=stale; stored"


def test_many_who_ask_for_the_same_at_once_are_one_query(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    app = open_app(database.environment)
    assert app.test_client().get("/orders/1").status_code == 200
    with (
        psycopg.connect(database.server.conninfo(database.name)) as holder,
        ThreadPoolExecutor(60) as threads,
    ):
        holder.execute("LOCK TABLE orders_synced IN ACCESS EXCLUSIVE MODE")
        begun = threading.Barrier(61)

        def ask() -> TestResponse:
            begun.wait()
            return app.test_client().get(PATH)

        asked = [threads.submit(ask) for _ in range(60)]
        begun.wait()
        wait_until(lambda: count_waiting(database) >= 1)
        waiting = count_waiting(database)
        holder.rollback()
        answers = [future.result() for future in asked]
    assert waiting == 1
    assert len({answer.data for answer in answers}) == 1
    assert get_cache(app.test_client()).outcomes[Outcome.MISS] <= 2


def count_waiting(database: OrdersDatabase) -> int:
    """How many statements wait for a lock."""
    waits = "datname = current_database() AND wait_event_type = 'Lock'"
    [(count,)] = database.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}")
    assert isinstance(count, int)
    return count


def get_cache(client: FlaskClient) -> ResultCache:
    """What the app of the client keeps."""
    assert isinstance(client.application, Flask)
    return get_service(client.application).cache


def test_the_last_answer_outlasts_an_outage_where_it_may(
    database: OrdersDatabase, proxied: FaultProxy, open_app: AppOpener
) -> None:
    proxy_settings = {"PGPORT": str(proxied.port), "RESULT_STALE_IF_ERROR": "3600", "WAKE_BUDGET": "0"}
    client = open_app({**database.environment, **proxy_settings}).test_client()
    first = {path: client.get(path) for path in (PATH, "/orders/1")}
    proxied.refuse()
    proxied.cut()
    for path, before in first.items():
        stale = client.get(path)
        assert (stale.data, tell(stale).partition("=")[0]) == (before.data, "lakebase-api; hit; ttl")
        assert int(stale.headers["Age"]) >= 0
        assert client.get(path, headers={"Cache-Control": "no-cache"}).status_code == 503
    assert client.get("/orders/2").status_code == 503
    assert set_status(client, 1, "F").status_code == 503
    proxied.heal()
    wait_until(lambda: tell(client.get(PATH)) == VALIDATED)


@pytest.fixture
def proxied(database: OrdersDatabase) -> Iterator[FaultProxy]:
    """The network between app and database."""
    with FaultProxy(database.server.port) as proxy:
        yield proxy


def test_what_was_too_large_to_keep_is_nothing_to_show_in_an_outage(
    database: OrdersDatabase, proxied: FaultProxy, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakebase_api.http.result_cache.GREATEST_ANSWER", 100)
    proxy_settings = {"PGPORT": str(proxied.port), "RESULT_STALE_IF_ERROR": "3600", "WAKE_BUDGET": "0"}
    client = open_app({**database.environment, **proxy_settings}).test_client()
    assert tell(client.get(PATH)) == "lakebase-api; fwd=uri-miss"
    proxied.refuse()
    proxied.cut()
    assert client.get(PATH).status_code == 503


def test_in_an_outage_the_time_to_live_is_told_as_it_is(
    database: OrdersDatabase, proxied: FaultProxy, open_app: AppOpener
) -> None:
    proxy_settings = {"PGPORT": str(proxied.port), "RESULT_STALE_IF_ERROR": "3600", "WAKE_BUDGET": "0"}
    settings = {**database.environment, **proxy_settings, "RESULT_CACHE_TTL": "600"}
    client = open_app(settings).test_client()
    client.get(PATH)
    proxied.refuse()
    proxied.cut()
    stale = client.get(PATH, headers={"Cache-Control": "max-age=0"})
    left = int(tell(stale).partition("ttl=")[2])
    assert 500 < left + int(stale.headers["Age"]) < 600


def test_what_says_that_a_client_has_it_says_how_long_and_for_whom_as_the_answer_did(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    settings = {**database.environment, "RESULT_CACHE_TTL": "600"}
    for path in (PATH, "/orders/1"):
        client = open_app(settings).test_client()
        first = client.get(path, headers={"Cache-Control": "no-store"})
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, tell(again)) == (304, "lakebase-api; fwd=uri-miss")
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"] == "private, max-age=600"
        # A browser that keeps it may be another one's by then.
        for answer in (first, again):
            assert "Authorization" in answer.vary, path


def test_memory_is_taken_by_long_queries_as_well(client: FlaskClient) -> None:
    taken = []
    for query in ("", "&" * 7000):
        before = get_cache(client).use.bytes
        assert client.get(f"{PATH}{query}").status_code == 200
        taken.append(get_cache(client).use.bytes - before)
    assert taken[1] - taken[0] >= 7000


def test_lists_are_looked_at_while_all_places_of_what_takes_long_are_taken(client: FlaskClient) -> None:
    client.get(PATH)
    pool = get_service(client.application).lakebase.pool
    with ExitStack() as taken:
        with suppress(TooManyRequests):
            for number in range(1000):
                taken.enter_context(pool.wait_long(f"caller {number}", math.inf))
        assert tell(client.get(PATH)) == VALIDATED
