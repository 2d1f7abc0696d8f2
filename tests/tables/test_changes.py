"""Changes of several columns, of several types, on tables with a text and with a composite key."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.orders.changing import assert_problem, assert_replayed, wait_for_waiting
from tests.tables.changing import (
    A_SHOP,
    CREATE,
    DECLARED,
    changes_of,
    etag_of,
    history_of,
    patch,
    read_row,
)
from tests.tables.conftest import TablesOpener, copy_database, numbers

A_STOCK, OTHER_STOCK = "/stocks/1/1", "/stocks/1/2"


@pytest.fixture(scope="session")
def template(server: EmbeddedPostgres) -> str:
    clone_database(server, "changeable_template").execute(CREATE)
    return "changeable_template"


@pytest.fixture
def tables(server: EmbeddedPostgres, template: str) -> OrdersDatabase:
    """The two tables in a database of the test's own."""
    return copy_database(server, template, f"changeable_{next(numbers)}")


@pytest.fixture
def changer(tables: OrdersDatabase, open_tables: TablesOpener) -> FlaskClient:
    """A client of an app that serves them."""
    return open_tables(tables, DECLARED).test_client()


@pytest.fixture(scope="module")
def refuser(server: EmbeddedPostgres, template: str, open_shared_tables: TablesOpener) -> FlaskClient:
    """The same for all tests in which nothing is changed."""
    database = copy_database(server, template, f"changeable_{next(numbers)}")
    return open_shared_tables(database, DECLARED).test_client()


def test_a_patch_changes_several_columns_as_one_version(tables: OrdersDatabase, changer: FlaskClient) -> None:
    answer = patch(changer, A_STOCK, '{"seen_at": "2026-05-06T07:08:09+02:00", "amount": 12.340}')
    assert answer.status_code == 200
    assert answer.text == (
        '{"shop":1,"number":1,"amount":12.340,"seen_at":"2026-05-06T05:08:09Z",'
        '"message":"Stock amount, seen_at updated successfully"}'
    )
    assert answer.headers["ETag"] == etag_of(changer, A_STOCK)
    rows = history_of(changer, A_STOCK)["changes"]
    assert [(row["version"], row["column"], row["is_withdrawal"]) for row in rows] == [
        (1, "amount", False),
        (1, "seen_at", False),
    ]
    assert [(row["old"], row["new"], row["synced"]) for row in rows] == [
        (1.1, 12.34, 1.1),
        ("2026-01-02T03:04:05.12Z", "2026-05-06T05:08:09Z", "2026-01-02T03:04:05.12Z"),
    ]
    assert set(rows[0]) == {
        "version",
        "column",
        "old",
        "new",
        "synced",
        "is_withdrawal",
        "changed_at",
        "changed_by",
        "request_id",
        "changed_by_label",
        "changed_by_method",
    }


def test_the_columns_of_a_row_are_changed_and_withdrawn_one_by_one(
    tables: OrdersDatabase, changer: FlaskClient
) -> None:
    assert patch(changer, A_STOCK, '{"amount": 2, "kind": "b"}').status_code == 200
    answer = changer.delete(f"{A_STOCK}/amount")
    assert answer.json == {"shop": 1, "number": 1, "amount": 1.1, "message": "Stock amount change withdrawn"}
    assert answer.headers["ETag"] == etag_of(changer, A_STOCK)
    states = history_of(changer, A_STOCK)["columns"]
    assert states["amount"] == {"value": 1.1, "synced": 1.1, "conflict": False}
    assert states["kind"] == {"value": "b  ", "synced": "a  ", "conflict": False}
    again = changer.delete(f"{A_STOCK}/amount")
    assert (again.status_code, again.headers["ETag"]) == (200, answer.headers["ETag"])
    assert [row[0] for row in changes_of(changer, A_STOCK)] == [2, 1, 1]


def test_a_value_is_set_to_null_and_the_null_is_withdrawn(
    tables: OrdersDatabase, changer: FlaskClient
) -> None:
    answer = changer.post(f"{A_STOCK}/amount", json={"amount": None})
    assert answer.json == {
        "shop": 1,
        "number": 1,
        "amount": None,
        "message": "Stock amount updated successfully",
    }
    assert answer.headers["ETag"] == etag_of(changer, A_STOCK)
    assert history_of(changer, A_STOCK)["columns"]["amount"]["value"] is None
    assert changer.post(f"{A_STOCK}/amount", json={"amount": None}).status_code == 200
    assert changer.delete(f"{A_STOCK}/amount").status_code == 200
    assert changes_of(changer, A_STOCK) == [(2, "amount", None, 1.1), (1, "amount", 1.1, None)]


def test_what_is_null_already_is_not_changed_to_null(changer: FlaskClient) -> None:
    assert patch(changer, OTHER_STOCK, '{"amount": null, "kind": null}').status_code == 200
    assert changes_of(changer, OTHER_STOCK) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/stocks/1/1", '{"amount":123456789012345678901234567890.123456789012345678901234567890}'),
        ("/stocks/1/1", '{"amount":0.00000000000000000001}'),
        ("/stocks/1/1", '{"amount":"NaN"}'),
        ("/stocks/1/1", '{"seen_at":"infinity"}'),
        ("/stocks/1/1", '{"kind":"a b"}'),
        (A_SHOP, '{"budget":9999999999999999.99}'),
        (A_SHOP, '{"opened":"2024-02-29"}'),
        (A_SHOP, '{"is_open":true}'),
        (A_SHOP, '{"rate":"1e-30"}'),
        (A_SHOP, '{"rate":"-Infinity"}'),
    ],
)
def test_a_value_comes_back_as_it_was_sent(changer: FlaskClient, path: str, body: str) -> None:
    answer = patch(changer, path, body)
    assert answer.status_code == 200, answer.text
    assert body[1:-1] in answer.text
    assert body[1:-1].partition(":")[2] in changer.get(f"{path}/history").text
    assert body[1:-1] in changer.get(path).text
    assert answer.headers["ETag"] == etag_of(changer, path)


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        (A_SHOP, '{"budget": 1.505}', "budget"),
        (A_SHOP, '{"budget": 12345678901234567}', "budget"),
        (A_SHOP, '{"budget": "Infinity"}', "budget"),
        (A_SHOP, '{"budget": true}', "budget"),
        (A_SHOP, '{"budget": "much"}', "budget"),
        (A_SHOP, '{"opened": "2023-02-29"}', "opened"),
        (A_SHOP, '{"opened": 20230228}', "opened"),
        (A_SHOP, '{"is_open": null}', "is_open"),
        (A_SHOP, '{"is_open": "true"}', "is_open"),
        (A_SHOP, '{"is_open": 1}', "is_open"),
        (A_SHOP, '{"level": "other"}', "level"),
        (A_SHOP, '{"note": "not to be changed"}', "note"),
        (A_SHOP, '{"code": "d"}', "code"),
        (A_SHOP, "{}", "body"),
        (A_STOCK, '{"kind": "abcd"}', "kind"),
        (A_STOCK, '{"kind": "\\u0000"}', "kind"),
        (A_STOCK, '{"seen_at": "2026-05-06T07:08:09"}', "seen_at"),
    ],
)
def test_what_a_column_cannot_be_is_refused_by_its_name(
    refuser: FlaskClient, path: str, body: str, name: str
) -> None:
    problem = assert_problem(patch(refuser, path, body), 422, "invalid-request")
    assert [(each["in"], each["name"]) for each in problem["errors"]] == [("body", name)]
    assert changes_of(refuser, path) == []


def test_a_row_that_is_not_there_is_not_changed(changer: FlaskClient) -> None:
    for answer in (patch(changer, "/stocks/1/9", '{"amount": 1}'), changer.delete("/stocks/1/9/kind")):
        problem = assert_problem(answer, 404, "stock-not-found")
        assert problem["detail"] == "There is no stock 1/9."
    assert_problem(changer.get("/stocks/1/9/history"), 404, "stock-not-found")


def test_transitions_hold_for_each_column_by_itself(changer: FlaskClient) -> None:
    assert patch(changer, A_SHOP, '{"level": "low", "budget": 1}').status_code == 200
    problem = assert_problem(
        patch(changer, A_SHOP, '{"budget": 2, "level": "top"}'), 409, "illegal-transition"
    )
    assert problem["detail"] == "The level of shop c is low and may change only to high."
    assert patch(changer, A_SHOP, '{"budget": 3, "level": "low"}').status_code == 200
    assert_problem(patch(changer, A_SHOP, '{"level": null}'), 409, "illegal-transition")
    assert patch(changer, A_SHOP, '{"level": "high"}').status_code == 200
    assert patch(changer, A_SHOP, '{"level": null}').status_code == 200
    assert history_of(changer, A_SHOP)["columns"]["budget"]["value"] == 3


def test_an_etag_is_of_all_columns(tables: OrdersDatabase, changer: FlaskClient) -> None:
    before = {"If-Match": etag_of(changer, A_STOCK)}
    first = changer.post(f"{A_STOCK}/kind", json={"kind": "x"}, headers=before)
    assert first.status_code == 200
    refused = changer.post(f"{A_STOCK}/amount", json={"amount": 5}, headers=before)
    problem = assert_problem(refused, 412, "precondition-failed")
    assert problem["detail"].startswith("No ETag in If-Match is ")
    assert refused.headers["ETag"] == first.headers["ETag"] == etag_of(changer, A_STOCK)


def test_a_batch_carries_each_part_of_the_key_by_its_name(changer: FlaskClient) -> None:
    items = [
        {"shop": 1, "number": 2, "amount": 7},
        {"shop": -1, "number": 0, "amount": 8.50},
        {"shop": 1, "number": 9, "amount": 9},
    ]
    refused = assert_problem(changer.post("/stocks/amount", json=items), 404, "stock-not-found")
    assert [(each["name"], each["detail"]) for each in refused["errors"]] == [("2", "There is no stock 1/9.")]
    assert changes_of(changer, OTHER_STOCK) == []
    answer = changer.post("/stocks/amount?atomic=false", json=items)
    assert answer.json is not None
    assert [answer.json[name] for name in ("changed", "unchanged", "refused")] == [2, 0, 1]
    shown = [
        (each["shop"], each["number"], each["amount"], each["status"]) for each in answer.json["results"]
    ]
    assert shown == [(1, 2, 7, 200), (-1, 0, 8.5, 200), (1, 9, None, 404)]
    twice = changer.post("/stocks/amount", json=[items[0], items[0]])
    problem = assert_problem(twice, 422, "invalid-request")
    assert [each["name"] for each in problem["errors"]] == ["1.shop"]


def test_a_history_is_paged_by_version(changer: FlaskClient) -> None:
    for number in range(3):
        assert patch(changer, A_STOCK, f'{{"amount": {number}, "kind": "{number}"}}').status_code == 200
    first = history_of(changer, A_STOCK, "?page_size=2")
    assert [row["version"] for row in first["changes"]] == [3, 3, 2, 2]
    cursor = first["pagination"]["next_cursor"]
    last = history_of(changer, A_STOCK, f"?page_size=2&cursor={cursor}")
    assert [row["version"] for row in last["changes"]] == [1, 1]
    assert last["pagination"]["next_cursor"] is None


def test_changes_outlive_a_sync_and_each_column_tells_its_own_conflict(
    tables: OrdersDatabase, changer: FlaskClient
) -> None:
    assert patch(changer, A_STOCK, '{"amount": 2, "kind": null}').status_code == 200
    tables.execute(
        "CREATE TABLE app.other (LIKE app.stocks INCLUDING ALL); "
        "INSERT INTO app.other VALUES (1, 1, 1.10, 'z', NULL); "
        f"DROP TABLE app.stocks; ALTER TABLE app.other RENAME TO stocks; GRANT SELECT ON app.stocks TO {ROLE}"
    )
    states = history_of(changer, A_STOCK)["columns"]
    assert states["amount"] == {"value": 2, "synced": 1.1, "conflict": False}
    assert states["kind"] == {"value": None, "synced": "z  ", "conflict": True}
    assert states["seen_at"] == {"value": None, "synced": None, "conflict": False}
    assert read_row(changer, A_STOCK) == {"shop": 1, "number": 1, "amount": 2, "kind": None, "seen_at": None}
    assert patch(changer, A_STOCK, '{"seen_at": "2026-01-01T00:00:00Z"}').status_code == 200
    versions = [row[:2] for row in changes_of(changer, A_STOCK)]
    assert versions == [(2, "seen_at"), (1, "amount"), (1, "kind")]
    tables.execute("DELETE FROM app.stocks")
    gone = history_of(changer, A_STOCK)
    assert gone["columns"]["kind"] == {"value": None, "synced": None, "conflict": False}
    assert len(gone["changes"]) == 3


def test_a_column_whose_changes_are_kept_in_another_type_is_told_and_not_changed(
    tables: OrdersDatabase, changer: FlaskClient, open_tables: TablesOpener
) -> None:
    assert patch(changer, A_STOCK, '{"amount": 2}').status_code == 200
    declared = DECLARED.replace('amount = { type = "numeric"', 'amount = { type = "double precision"')
    other = open_tables(tables, declared).test_client()
    assert_problem(patch(other, A_STOCK, '{"amount": 3}'), 503, "status-changes-not-set-up")
    ready = other.get("/readyz?verbose")
    assert (ready.status_code, ready.json and ready.json["parts"]["table stocks"]) == (
        200,
        "changes are kept in another type than is declared",
    )


def test_a_repeated_request_is_answered_as_the_first(changer: FlaskClient) -> None:
    key = {"Idempotency-Key": '"once"'}
    body = '{"amount": 1.230, "kind": "k"}'
    first = patch(changer, A_STOCK, body, key)
    assert patch(changer, A_STOCK, '{"amount": 5}').status_code == 200
    again = patch(changer, A_STOCK, body, key)
    assert_replayed(again, first)
    assert again.text == first.text
    assert_problem(patch(changer, A_STOCK, '{"amount": 6}', key), 422, "idempotency-key-reused")
    # Of another table it is another key.
    assert "Idempotent-Replayed" not in patch(changer, A_SHOP, '{"budget": 1}', key).headers
    assert [row[0] for row in changes_of(changer, A_STOCK)] == [2, 1, 1]


def test_two_columns_that_are_changed_at_once_are_two_versions(
    tables: OrdersDatabase, changer: FlaskClient
) -> None:
    held = (
        "INSERT INTO lakebase_api.stocks_history (shop, number, _source, _version, _old, _new, _synced,"
        " _is_withdrawal, _changed_by, _request_id)"
        """ VALUES (1, 1, '"app"."stocks"', 1, '{}', '{}', '{}', false, 'another', 'another')"""
    )
    assert patch(changer, OTHER_STOCK, '{"amount": 1}').status_code == 200
    with psycopg.connect(tables.server.conninfo(tables.name)) as holder, ThreadPoolExecutor(2) as threads:
        holder.execute(held.encode())
        answers = [
            threads.submit(patch, changer.application.test_client(), A_STOCK, body)
            for body in ('{"amount": 3}', '{"kind": "r"}')
        ]
        wait_for_waiting(tables, 2)
        holder.rollback()
        assert [answer.result().status_code for answer in answers] == [200, 200]
    assert sorted(row[0] for row in changes_of(changer, A_STOCK)) == [1, 2]
    states = history_of(changer, A_STOCK)["columns"]
    assert (states["amount"]["value"], states["kind"]["value"]) == (3, "r  ")


def test_a_table_may_be_changed_itself(tables: OrdersDatabase, open_tables: TablesOpener) -> None:
    declared = DECLARED.replace('one = "shop"', 'one = "shop"\nwrites = "direct"')
    tables.execute(f"GRANT UPDATE ON app.shops TO {ROLE}")
    direct = open_tables(tables, declared).test_client()
    # The table has two decimals whatever is sent.
    answer = patch(direct, A_SHOP, '{"budget": 7, "opened": null}')
    assert '"budget":7.00,"opened":null' in answer.text
    assert answer.headers["ETag"] == etag_of(direct, A_SHOP)
    assert tables.execute("SELECT budget::text, opened FROM app.shops WHERE code = 'c'") == [("7.00", None)]
    rows = history_of(direct, A_SHOP)["changes"]
    assert [(row["old"], row["new"], row["synced"]) for row in rows] == [
        (None, 7.0, None),
        ("infinity", None, None),
    ]
    assert '"new":7.00' in direct.get(f"{A_SHOP}/history").text
    assert_problem(direct.delete(f"{A_SHOP}/budget"), 409, "not-withdrawable")
    tables.execute("ALTER TABLE app.shops ADD CHECK (budget < 10)")
    assert_problem(patch(direct, A_SHOP, '{"budget": 11}'), 422, "invalid-request")
    tables.execute("CREATE UNIQUE INDEX ON app.shops (budget)")
    assert_problem(patch(direct, "/shops/b", '{"budget": 7}'), 422, "invalid-request")
    assert history_of(direct, "/shops/b")["changes"] == []


def test_where_changes_are_off_they_are_refused_and_those_made_before_are_kept(
    tables: OrdersDatabase, changer: FlaskClient, open_tables: TablesOpener
) -> None:
    assert patch(changer, A_STOCK, '{"amount": 2}').status_code == 200
    declared = DECLARED.replace('one = "stock"', 'one = "stock"\nwrites = "off"')
    off = open_tables(tables, declared).test_client()
    refused = assert_problem(patch(off, A_STOCK, '{"amount": 3}'), 403, "status-writes-off")
    assert refused["detail"] == "This service does not change stocks."
    assert history_of(off, A_STOCK)["columns"]["amount"]["value"] == 2
    assert read_row(off, A_STOCK)["amount"] == 2


def test_a_column_that_comes_to_be_changeable_is_added_and_the_release_before_works_on(
    tables: OrdersDatabase, open_tables: TablesOpener
) -> None:
    before = open_tables(tables, DECLARED.replace(', change = { path = "kind" }', "")).test_client()
    assert patch(before, A_STOCK, '{"amount": 2}').status_code == 200
    after = open_tables(tables, DECLARED).test_client()
    assert patch(after, A_STOCK, '{"kind": "n", "amount": 3}').status_code == 200
    assert patch(before, A_STOCK, '{"amount": 4}').status_code == 200
    row = read_row(after, A_STOCK)
    assert (row["amount"], row["kind"]) == (4, "n  ")
    assert [row[0] for row in changes_of(before, A_STOCK)] == [3, 2, 2, 1]


def test_a_type_that_is_declared_otherwise_keeps_what_there_is_and_refuses_changes(
    tables: OrdersDatabase, changer: FlaskClient, open_tables: TablesOpener
) -> None:
    assert patch(changer, A_STOCK, '{"kind": "k"}').status_code == 200
    tables.execute("ALTER TABLE app.stocks ALTER kind TYPE date USING NULL")
    other = open_tables(tables, DECLARED.replace('type = "char(3)"', 'type = "date"')).test_client()
    assert patch(other, A_STOCK, '{"kind": "2026-01-01"}').status_code == 503
    assert tables.execute("SELECT kind FROM lakebase_api.stocks_changes") == [("k  ",)]


def test_a_table_without_changes_has_no_operation_for_them(
    tables: OrdersDatabase, open_tables: TablesOpener
) -> None:
    before, _, stocks = DECLARED.partition("[stocks]")
    readable = re.sub(r", change = \{.*?\} \}", " }", stocks)
    client = open_tables(tables, f"{before}[stocks]{readable}").test_client()
    assert patch(client, A_STOCK, '{"amount": 1}').status_code == 405
    paths = json.loads(client.get("/openapi.json").text)["paths"]
    methods = {method for path, served in paths.items() if path.startswith("/stocks") for method in served}
    assert methods <= {"get", "parameters"}
