"""Lists are not sent again while nothing in the database has changed."""

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import set_status
from tests.waiting import wait_until

LISTS = [
    "/orders/pages?page_size=5&page=2",
    "/orders/pages?page_size=5&include_count=false",
    "/orders/pages?page_size=5&sort=-o_totalprice",
    "/orders/stream?page_size=5&cursor=9",
    "/orders/stream?page_size=5&sort=o_clerk",
    "/orders/stream?o_orderstatus=P&page_size=2",
]
# On none of their pages.
LAST = "o_orderkey = (SELECT max(o_orderkey) FROM orders_synced)"
CHANGES = {
    "insert": "INSERT INTO orders_synced (o_orderkey) VALUES (1000000)",
    "delete": f"DELETE FROM orders_synced WHERE {LAST}",
    "update": f"UPDATE orders_synced SET o_comment = 'new' WHERE {LAST}",
    "reload": (
        "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE orders_synced; TRUNCATE orders_synced; "
        "INSERT INTO orders_synced TABLE kept; COMMIT"
    ),
}


def ask_again(client: FlaskClient, path: str, first: TestResponse, **headers: str) -> TestResponse:
    """Ask with the ETag of an answer."""
    return client.get(path, headers={"If-None-Match": first.headers["ETag"], **headers})


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_not_sent_again_while_nothing_changes(lister: FlaskClient, path: str) -> None:
    first = lister.get(path)
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = ask_again(lister, path, first)
    assert (again.status_code, again.data) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers.getlist(name) == first.headers.getlist(name)


def test_etags_are_compared_as_those_of_a_cache(lister: FlaskClient) -> None:
    path = "/orders/stream?page_size=5"
    etag = lister.get(path).headers["ETag"]
    for known in (f"W/{etag}", f'"other", {etag}', "*"):
        assert lister.get(path, headers={"If-None-Match": known}).status_code == 304, known
    for unknown in ('"other"', etag.strip('"')[:-1], ""):
        assert lister.get(path, headers={"If-None-Match": unknown}).status_code == 200, unknown


@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream", "/orders/stream?sort=o_clerk"])
def test_each_form_has_an_etag_of_its_own(lister: FlaskClient, path: str) -> None:
    forms = ("application/json", "text/csv", "application/x-ndjson")
    answers = {form: lister.get(path, headers={"Accept": form}) for form in forms}
    assert len({answer.headers["ETag"] for answer in answers.values()}) == 3
    for form, answer in answers.items():
        for other in forms:
            again = ask_again(lister, path, answer, Accept=other)
            assert again.status_code == (304 if other == form else 200)


def test_each_query_has_an_etag_of_its_own(lister: FlaskClient) -> None:
    queries = (
        "",
        "page_size=100",
        "page_size=5",
        "page_size=5&fields=o_clerk",
        "page_size=5&quote_formulas=true",
        "page_size=5&sort=o_clerk",
        "page_size=5&o_custkey=2",
        "o_custkey=2&page_size=5",
    )
    for path in ("/orders/pages", "/orders/stream", "/api/v1/orders/pages"):
        etags = {lister.get(f"{path}?{query}").headers["ETag"] for query in queries}
        assert len(etags) == len(queries)


def test_each_path_and_host_has_an_etag_of_its_own_since_its_links_are_others(lister: FlaskClient) -> None:
    answers = [
        lister.get(path, headers={"Host": host})
        for path in ("/orders/pages", "/orders/stream", "/api/v1/orders/stream")
        for host in ("one.example", "two.example")
    ]
    assert len({answer.headers["ETag"] for answer in answers}) == len(answers)


@pytest.mark.parametrize("path", LISTS)
def test_a_page_without_orders_has_no_etag(lister: FlaskClient, path: str) -> None:
    empty = lister.get(f"{path}&o_clerk=nobody")
    assert empty.status_code == 200
    assert "ETag" not in empty.headers
    assert lister.get(path.replace("page=2", "page=99"), headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_any_change_of_the_table_makes_the_list_another(
    database: OrdersDatabase, client: FlaskClient, statement: str
) -> None:
    firsts = [client.get(path) for path in LISTS[:5]]
    database.execute(statement)
    for path, first in zip(LISTS[:5], firsts, strict=True):
        again = ask_again(client, path, first)
        assert again.status_code == 200, path
        assert again.headers["ETag"] != first.headers["ETag"]
        assert ask_again(client, path, again).status_code == 304


def test_a_change_of_status_makes_the_list_another(client: FlaskClient) -> None:
    firsts = [client.get(path) for path in LISTS[:5]]
    for status in "FP":  # the first one makes the tables
        assert set_status(client, 1, status).status_code == 200
        for place, path in enumerate(LISTS[:5]):
            again = ask_again(client, path, firsts[place])
            assert again.status_code == 200, path
            firsts[place] = again
            assert ask_again(client, path, again).status_code == 304


def test_another_worker_says_the_same_of_a_list(varied_database: OrdersDatabase, open_app: AppOpener) -> None:
    environment = {**varied_database.environment, "CURSOR_SECRET": "the same for all of them"}
    first, other = (open_app(environment).test_client() for _ in range(2))
    # The start of each is kept, which changes the database.
    for client in (first, other):
        client.get("/orders/1")
    for path in LISTS:
        assert ask_again(other, path, first.get(path)).status_code == 304


def test_a_list_with_cursors_that_another_secret_made_is_sent_again(
    varied_database: OrdersDatabase, open_app: AppOpener
) -> None:
    # With that of before, the client would go on with cursors that no longer lead anywhere.
    first, other = (open_app(varied_database.environment).test_client() for _ in range(2))
    for client in (first, other):
        client.get("/orders/1")
    for path in LISTS:
        status = 200 if "sort=" in path else 304
        assert ask_again(other, path, first.get(path)).status_code == status


@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream", "/orders/stream?sort=-o_clerk"])
def test_what_was_under_way_while_the_list_was_read_makes_it_another_once_it_is_done(
    database: OrdersDatabase, client: FlaskClient, path: str
) -> None:
    with psycopg.connect(database.server.conninfo(database.name)) as other:
        other.execute("UPDATE orders_synced SET o_comment = 'not done yet' WHERE o_orderkey = 1")
        first = client.get(path)
        assert "not done yet" not in first.text
        # Later transactions that are done already hide none that is not.
        database.execute("UPDATE orders_synced SET o_comment = 'done' WHERE o_orderkey = 2")
        second = ask_again(client, path, first)
        assert second.status_code == 200
        assert ask_again(client, path, second).status_code == 304
        other.commit()
    assert ask_again(client, path, second).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/orders/pages?page_size=5", "/orders/stream?page_size=5", "/orders/stream?page_size=5&sort=o_clerk"],
)
def test_that_nothing_changed_is_said_without_reading_the_table(
    varied_database: OrdersDatabase, open_app: AppOpener, path: str
) -> None:
    settings = {"COUNT_TTL": "3600"}
    client = open_app({**varied_database.environment, **settings}).test_client()
    first = client.get(path)
    with psycopg.connect(varied_database.server.conninfo(varied_database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced IN ACCESS EXCLUSIVE MODE")
        assert ask_again(client, path, first).status_code == 304
        assert ask_again(client, path, first).status_code == 304
        holder.rollback()


def test_pages_are_sent_again_when_their_count_is_another(
    varied_database: OrdersDatabase, open_app: AppOpener
) -> None:
    settings = {"COUNT_BUDGET": "0", "COUNT_TTL": "3600"}
    client = open_app({**varied_database.environment, **settings}).test_client()
    path = "/orders/pages?page_size=5"
    estimated = client.get(path)
    assert "total_accuracy" in estimated.text
    wait_until(lambda: ask_again(client, path, estimated).status_code == 200)
    exact = client.get(path)
    assert "total_accuracy" not in exact.text
    assert ask_again(client, path, exact).status_code == 304
    # Those without it stay as they are.
    uncounted = client.get(f"{path}&include_count=false")
    assert ask_again(client, f"{path}&include_count=false", uncounted).status_code == 304
