"""Cursors: keys in the order of the keys, else tokens that fit the list they came from and no other."""

import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.orders.changing import assert_problem, read
from tests.orders.varied import find_keys, keys_of
from tests.waiting import PATIENCE

QUERY = "sort=-o_totalprice&o_custkey=2&page_size=3"


def next_cursor(client: FlaskClient, query: str = QUERY) -> str:
    """The cursor after the first page of a sorted stream."""
    cursor = read(client, f"/orders/stream?{query}")["pagination"]["next_cursor"]
    assert isinstance(cursor, str)
    return cursor


def go_on(client: FlaskClient, cursor: str, query: str = QUERY) -> list[int]:
    """The keys of the page at a cursor."""
    return keys_of(read(client, f"/orders/stream?{query}&cursor={quote(cursor)}"))


def assert_foreign(client: FlaskClient, cursor: str, query: str = QUERY) -> None:
    answer = client.get(f"/orders/stream?{query}&cursor={quote(cursor)}")
    assert_problem(answer, 400, "foreign-cursor")


@pytest.mark.parametrize("query", ["", "o_custkey=2&", "o_orderstatus=P&", "sort=o_orderkey&"])
def test_a_cursor_in_the_order_of_the_keys_is_the_key_to_start_after(lister: FlaskClient, query: str) -> None:
    for path in ("/orders/pages?page=2&", "/orders/stream?cursor=60&"):
        body = read(lister, f"{path}{query}page_size=2")
        assert body["pagination"]["next_cursor"] == keys_of(body)[-1]
        assert isinstance(body["pagination"]["previous_cursor"], int)


def test_a_key_need_not_be_there_to_start_after_it(lister: FlaskClient) -> None:
    assert keys_of(read(lister, "/orders/stream?cursor=4&page_size=2")) == [6, 9]


@pytest.mark.parametrize("query", ["", "&sort=-o_clerk", "&sort=-o_orderkey", "&o_custkey=2"])
@pytest.mark.parametrize("path", ["pages", "stream"])
def test_before_the_first_page_and_after_the_last_there_is_no_cursor(
    lister: FlaskClient, path: str, query: str
) -> None:
    first = read(lister, f"/orders/{path}?page_size=7{query}")["pagination"]
    assert (first["has_previous"], first["previous_cursor"]) == (False, None)
    assert first["has_next"] is True
    whole = read(lister, f"/orders/{path}?page_size=60{query}")["pagination"]
    assert (whole["has_next"], whole["next_cursor"]) == (False, None)
    assert (whole["has_previous"], whole["previous_cursor"]) == (False, None)
    last = read(lister, f"/orders/stream?page_size=60{query}&cursor={first['next_cursor']}")["pagination"]
    assert (last["has_next"], last["next_cursor"], last["has_previous"]) == (False, None, True)


def test_a_token_has_characters_that_need_no_quoting_and_is_no_number(lister: FlaskClient) -> None:
    for sort in ("o_clerk", "-o_comment", "o_totalprice", "o_orderdate", "-o_orderkey"):
        token = next_cursor(lister, f"sort={sort}&page_size=1")
        assert token == quote(token, safe="")
        assert not token.lstrip("-").isdigit()


def test_a_token_altered_in_any_character_is_refused(lister: FlaskClient) -> None:
    token = next_cursor(lister)
    for place, character in enumerate(token):
        # The next one differs in a low bit, which in the last character may not count.
        for other in (chr(ord(character) ^ 1), "A" if character != "A" else "B"):
            assert_foreign(lister, token[:place] + other + token[place + 1 :])


def test_a_token_cut_or_drawn_out_is_refused(lister: FlaskClient) -> None:
    token = next_cursor(lister)
    for end in range(1, len(token)):
        assert_foreign(lister, token[:end])
    for altered in (token[1:], token + "A", token + "=", f" {token}", f"{token}\n", token * 2, token.upper()):
        assert_foreign(lister, altered)


@pytest.mark.parametrize(
    "cursor", ["c", "cA", "c====", "ü", "\0", "c\0", "\ud800", "٣", "-", "+5", "1.0", " 5"]
)
def test_a_cursor_that_never_was_one_is_refused(lister: FlaskClient, cursor: str) -> None:
    for query in (QUERY, "page_size=3"):
        answer = lister.get(f"/orders/stream?{query}&cursor={quote(cursor.encode(errors='surrogatepass'))}")
        assert_problem(answer, 400, "foreign-cursor")


@pytest.mark.parametrize(
    "query",
    [
        "sort=-o_totalprice",
        "sort=-o_totalprice&o_custkey=3",
        "sort=-o_totalprice&o_custkey=2&o_custkey=3",
        "sort=-o_totalprice&o_custkey=2&o_orderstatus=P",
        "sort=-o_totalprice&o_totalprice_min=2",
        "sort=o_totalprice&o_custkey=2",
        "sort=-o_totalprice,o_orderkey&o_custkey=2",
        "sort=-o_totalprice,-o_clerk&o_custkey=2",
        "sort=-o_custkey&o_custkey=2",
        "o_custkey=2",
        "",
    ],
)
def test_a_token_is_of_one_filter_and_one_order(lister: FlaskClient, query: str) -> None:
    assert_foreign(lister, next_cursor(lister), query)


def test_a_token_does_not_mistake_one_filter_for_another_of_the_same_values(lister: FlaskClient) -> None:
    token = next_cursor(lister, "sort=o_clerk&o_totalprice_min=0&page_size=1")
    assert_foreign(lister, token, "sort=o_clerk&o_totalprice_max=0")
    token = next_cursor(lister, "sort=o_clerk&o_orderdate_from=1996-02-29&page_size=1")
    assert_foreign(lister, token, "sort=o_clerk&o_orderdate_to=1996-02-29")


def test_a_token_fits_the_same_list_however_it_is_asked_for(lister: FlaskClient) -> None:
    query = "sort=-o_totalprice&o_custkey=2&o_custkey=3&page_size=3"
    token = next_cursor(lister, query)
    expected = go_on(lister, token, query)
    for same in (
        "o_custkey=3&o_custkey=2&sort=-o_totalprice&page_size=3",
        "o_custkey=3&o_custkey=2&o_custkey=3&sort=-o_totalprice,-o_orderkey&page_size=3",
        f"{query}&fields=o_comment,o_orderkey",
        f"{query}&quote_formulas=true",
    ):
        assert go_on(lister, token, same) == expected


def test_a_token_survives_another_page_size(varied_database: OrdersDatabase, lister: FlaskClient) -> None:
    expected = find_keys(
        varied_database, "WHERE o_custkey = 2", "o_totalprice DESC NULLS FIRST, o_orderkey DESC"
    )
    token = next_cursor(lister)
    for page_size in (1, 2, 1000):
        query = f"sort=-o_totalprice&o_custkey=2&page_size={page_size}"
        assert go_on(lister, token, query) == expected[3 : 3 + page_size]


def test_a_token_of_a_page_by_number_is_one_of_the_stream(lister: FlaskClient) -> None:
    page = read(lister, f"/orders/pages?{QUERY}")
    assert page["pagination"]["next_cursor"] == next_cursor(lister)


def test_a_key_is_no_cursor_of_a_sorted_list(lister: FlaskClient) -> None:
    for cursor in ("1", "9223372036854775807"):
        assert_foreign(lister, cursor)


@pytest.mark.parametrize("cursor", ["0", "00", "-0"])
def test_a_sorted_list_begins_at_0(lister: FlaskClient, cursor: str) -> None:
    assert go_on(lister, cursor) == keys_of(read(lister, f"/orders/stream?{QUERY}"))


def test_a_token_has_nothing_of_a_secret_of_the_settings_in_it(
    varied_database: OrdersDatabase, open_app: AppOpener
) -> None:
    """Apps with the same settings make different ones, so that nobody can try passwords on them."""
    principal = {"DATABRICKS_CLIENT_ID": "id", "DATABRICKS_CLIENT_SECRET": "Summer2026!"}
    environment = {**varied_database.environment, **principal, "DATABRICKS_TOKEN": ""}
    first, second = (open_app(environment).test_client() for _ in range(2))
    assert next_cursor(first) == next_cursor(first)
    assert next_cursor(first) != next_cursor(second)
    assert_foreign(second, next_cursor(first))


def test_each_worker_reads_the_token_of_another(
    unchanged_database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> None:
    gunicorn = start_gunicorn({**unchanged_database.environment, "WEB_CONCURRENCY": "2"}).wait_until_started()
    path = "/orders/stream?sort=o_clerk&page_size=1"
    token = gunicorn.get(path).json()["pagination"]["next_cursor"]

    def go_on_with(_: int) -> int:
        return requests.get(f"{gunicorn.url}{path}&cursor={token}", timeout=PATIENCE).status_code

    def have_both_answered() -> bool:
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(go_on_with, range(16))) == {200}
        return len(set(re.findall(r"INFO \[(\d+)\].* GET /orders/stream", gunicorn.output))) == 2

    gunicorn.wait_until(have_both_answered)


def test_every_app_with_the_same_cursor_secret_reads_the_token(
    varied_database: OrdersDatabase, lister: FlaskClient, open_app: AppOpener
) -> None:
    first, same, other = (
        open_app({**varied_database.environment, "CURSOR_SECRET": secret}).test_client()
        for secret in (
            "a secret of sixteen letters",
            "a secret of sixteen letters",
            "another of sixteen letters",
        )
    )
    token = next_cursor(first)
    assert go_on(same, token) == go_on(first, token)
    assert_foreign(other, token)
    assert_foreign(lister, token)
    assert_foreign(first, next_cursor(lister))


def test_a_token_is_of_one_table(database: OrdersDatabase, open_app: AppOpener) -> None:
    database.execute("CREATE TABLE others AS TABLE orders_synced; GRANT SELECT ON others TO orders_app")
    first = open_app(database.environment).test_client()
    other = open_app({**database.environment, "DEFAULT_POSTGRES_TABLE": "others"}).test_client()
    token = next_cursor(first, "sort=o_clerk&page_size=3")
    assert_foreign(other, token, "sort=o_clerk&page_size=3")


def test_a_token_does_not_show_the_secret(lister: FlaskClient) -> None:
    token = next_cursor(lister)
    content = base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4))
    assert b"password" not in content


def test_a_place_whose_order_is_gone_is_gone_on_from(database: OrdersDatabase, client: FlaskClient) -> None:
    query = "sort=-o_totalprice&page_size=3"
    expected = database.execute(
        "SELECT o_orderkey FROM orders_synced ORDER BY o_totalprice DESC, o_orderkey DESC LIMIT 6"
    )
    token = next_cursor(client, query)
    database.execute(f"DELETE FROM orders_synced WHERE o_orderkey = {expected[2][0]}")
    assert go_on(client, token, query) == [key for (key,) in expected[3:]]
