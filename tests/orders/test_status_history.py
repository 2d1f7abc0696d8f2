"""The history of an order's status: what changed, when, by whom, on whose request."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import add_order, assert_problem, read, set_status, set_statuses, withdraw

IDENTITY = {
    "X-Forwarded-Email": "ada@example.com",
    "X-Forwarded-Preferred-Username": "ada",
    "X-Forwarded-User": "1234@5678",
}


NAMES = {"utf-8": ["Zoë Müller", "山田 太郎", "😀", "ada"], "latin-1": ["Zoë Müller", "Ångström"]}


def changed_by(client: FlaskClient, order_key: int, headers: dict[str, str]) -> str:
    """Who is recorded for a change that these headers come with."""
    assert set_status(client, order_key, "F", headers).status_code == 200
    [change] = read(client, f"/orders/{order_key}/history", headers)["changes"]
    return str(change["changed_by"])


def test_a_change_is_recorded_with_what_was_asked_when_and_how(writer: FlaskClient, order_key: int) -> None:
    before = datetime.now(UTC)
    set_status(writer, order_key, "F", {"X-Request-Id": "request-1", "Idempotency-Key": r'"a \"key\" \\"'})
    after = datetime.now(UTC)
    history = read(writer, f"/orders/{order_key}/history")
    [change] = history.pop("changes")
    assert history == {
        "o_orderkey": order_key,
        "o_orderstatus": "F",
        "synced_status": "O",
        "status_conflict": False,
        "pagination": {"page_size": 100, "has_next": False, "next_cursor": None},
    }
    assert before <= datetime.fromisoformat(change.pop("changed_at")) <= after
    assert change == {
        "version": 1,
        "old_status": "O",
        "new_status": "F",
        "synced_status": "O",
        "is_withdrawal": False,
        "changed_by": "local",
        "request_id": "request-1",
        "changed_by_label": "local",
        "changed_by_method": "local",
    }


def test_changes_of_all_kinds_come_newest_first_and_each_follows_from_the_one_before(
    writer: FlaskClient, order_key: int
) -> None:
    set_status(writer, order_key, "F")
    set_statuses(writer, [{"o_orderkey": order_key, "o_orderstatus": "P"}])
    withdraw(writer, order_key)
    changes = read(writer, f"/orders/{order_key}/history")["changes"]
    described = [(each["version"], each["old_status"], each["new_status"]) for each in changes]
    assert described == [(3, "P", "O"), (2, "F", "P"), (1, "O", "F")]
    moments = [each["changed_at"] for each in changes]
    assert moments == sorted(moments, reverse=True)


def test_pages_of_the_history_show_every_change_once_even_if_one_is_added_meanwhile(
    writer: FlaskClient, order_key: int
) -> None:
    for status in "FPOFP":
        set_status(writer, order_key, status)
    path = f"/orders/{order_key}/history?page_size=2"
    seen: list[int] = []
    cursor: int | None = None
    while not seen or cursor is not None:
        page = read(writer, path + (f"&cursor={cursor}" if cursor else ""))
        seen += [change["version"] for change in page["changes"]]
        cursor = page["pagination"]["next_cursor"]
        assert page["pagination"]["has_next"] == (cursor is not None)
        assert page["o_orderstatus"] == ("P" if len(seen) == 2 else "O")
        set_status(writer, order_key, "O")
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("query", ["page_size=0", "page_size=1001", "cursor=0", "cursor=x", "page=1"])
def test_wrong_parameters_of_the_history_are_refused(reader: FlaskClient, query: str) -> None:
    assert_problem(reader.get(f"/orders/1/history?{query}"), 422, "invalid-request")


def test_an_order_never_known_has_no_history_before_and_after_there_are_changes(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    assert_problem(client.get("/orders/8/history"), 404, "order-not-found")
    assert set_status(client, 1, "F").status_code == 200
    assert_problem(client.get("/orders/8/history"), 404, "order-not-found")
    assert read(client, "/orders/2/history")["changes"] == []


@pytest.mark.parametrize(
    "settings",
    [{"DATABRICKS_APP_NAME": "orders"}, {"TRUST_FORWARDED_IDENTITY": "true"}],
    ids=["Databricks Apps", "setting"],
)
def test_the_caller_is_the_user_that_the_trusted_headers_name(
    shared_database: OrdersDatabase, open_app: AppOpener, settings: dict[str, str]
) -> None:
    client = open_app({**shared_database.environment, **settings}).test_client()
    assert changed_by(client, add_order(shared_database), IDENTITY) == "1234@5678"


def test_the_caller_is_anonymous_where_the_headers_are_not_trusted_and_strangers_are_let_in(
    shared_database: OrdersDatabase, open_app: AppOpener
) -> None:
    app = {"DATABRICKS_APP_NAME": "orders", "TRUST_FORWARDED_IDENTITY": "false", "ANONYMOUS": "all"}
    client = open_app({**shared_database.environment, **app}).test_client()
    assert changed_by(client, add_order(shared_database), IDENTITY) == "anonymous"


@pytest.mark.parametrize(
    ("name", "encoding"), [(name, encoding) for encoding, names in NAMES.items() for name in names]
)
def test_a_name_is_recorded_as_it_is_written_whatever_the_proxy_has_it_encoded_in(
    shared_database: OrdersDatabase,
    open_app: AppOpener,
    order_key: int,
    name: str,
    encoding: str,
) -> None:
    trusting = {**shared_database.environment, "TRUST_FORWARDED_IDENTITY": "true"}
    client = open_app(trusting).test_client()
    # As WSGI has the bytes of a header.
    assert (
        changed_by(client, order_key, {"X-Forwarded-User": name.encode(encoding).decode("latin-1")}) == name
    )


def test_the_status_in_a_history_is_that_of_its_newest_change_while_others_write(
    shared_database: OrdersDatabase, open_app: AppOpener, order_key: int
) -> None:
    app = open_app(shared_database.environment)

    def write(statuses: str) -> None:
        client = app.test_client()
        for status in statuses:
            assert set_status(client, order_key, status).status_code == 200

    reader = app.test_client()
    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(write, "FOP" * 40) for _ in range(2)]
        while not all(each.done() for each in writers):
            history = read(reader, f"/orders/{order_key}/history?page_size=1")
            if history["changes"]:
                assert history["o_orderstatus"] == history["changes"][0]["new_status"]
        for each in writers:
            each.result()
