"""Changes are kept beside the orders table, and every read shows them."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.sql import overlay, overlay_tables
from tests.conftest import ROLE, AppOpener, OrdersDatabase
from tests.orders.changing import (
    ORDERS_TABLES,
    add_order,
    assert_problem,
    changes_of,
    etag_of,
    held_change,
    read,
    set_status,
    status_of,
    wait_for_waiting,
)

READINGS = ("/orders/1", "/orders/pages?page_size=2", "/orders/stream?page_size=2", "/orders/1/history")
SCHEMA_EXISTS = "SELECT count(*) FROM pg_namespace WHERE nspname = 'lakebase_api'"
# Every version of every row, and whether anybody locked it.
ROWS = """
SELECT md5(string_agg(ROW(ctid, xmin, xmax, t.*)::text, '' ORDER BY o_orderkey)) FROM orders_synced AS t
"""
HANGERS_ON = """
SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = t),
    (SELECT count(*) FROM pg_constraint WHERE t IN (conrelid, confrelid)),
    (SELECT count(*) FROM pg_depend WHERE refobjid = t) -- views among them
FROM CAST('orders_synced'::regclass AS oid) AS t
"""
LOCKS = """
SELECT DISTINCT l.mode FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE a.usename = 'orders_app' AND a.wait_event_type = 'Lock' AND l.relation = 'orders_synced'::regclass
"""


def shown_in_lists(client: FlaskClient) -> list[list[str]]:
    """The status of the first two orders, as pages and stream show it."""
    lists = [read(client, f"/orders/{name}?page_size=2")["orders"] for name in ("pages", "stream")]
    return [[order["o_orderstatus"] for order in orders] for orders in lists]


def test_a_change_shows_in_the_order_in_pages_and_in_the_stream(client: FlaskClient) -> None:
    assert shown_in_lists(client) == [["O", "O"]] * 2
    assert set_status(client, 1, "P").status_code == 200
    assert status_of(client, 1) == "P"
    assert shown_in_lists(client) == [["P", "O"]] * 2


def test_a_worker_that_read_before_there_were_changes_shows_the_first_at_once(
    database: OrdersDatabase, client: FlaskClient, open_app: AppOpener
) -> None:
    others = [open_app(database.environment).test_client() for _ in READINGS]
    for other in others:
        for _ in range(6):  # by then the statements are prepared
            for path in READINGS:
                read(other, path)
    assert set_status(client, 1, "F").status_code == 200
    # A worker for each kind of read: none may depend on another's having found the changes.
    for other, path in zip(others, READINGS, strict=True):
        assert '"o_orderstatus":"F"' in other.get(path).text, path


@pytest.fixture
def unable(database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app that may not make the tables."""
    database.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {ROLE}")
    return open_app(database.environment).test_client()


def test_the_tables_are_there_from_the_first_connection_on(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    read(client, "/orders/1")
    assert database.execute("SELECT count(*) FROM lakebase_api.orders_history") == [(0,)]


def test_reads_need_no_right_to_make_the_tables(database: OrdersDatabase, unable: FlaskClient) -> None:
    client = unable
    for path in (*READINGS, "/orders/count", "/orders/sample"):
        read(client, path)
    assert_problem(client.get("/orders/8"), 404, "order-not-found")
    assert read(client, "/orders/1/history")["changes"] == []
    assert database.execute(SCHEMA_EXISTS) == [(0,)]


def test_without_the_right_to_make_the_tables_changes_are_refused_and_reads_go_on(
    database: OrdersDatabase, unable: FlaskClient
) -> None:
    assert_problem(set_status(unable, 1, "F"), 503, "status-changes-not-set-up")
    assert status_of(unable, 1) == "O"
    assert database.execute(SCHEMA_EXISTS) == [(0,)]


def test_the_orders_table_is_not_written_nor_does_anything_hang_on_it(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    before = database.execute(ROWS), database.execute(HANGERS_ON)
    for status in ("F", "P", "O"):
        assert set_status(client, 1, status).status_code == 200
    assert client.delete("/orders/1/status").status_code == 200
    items = [{"o_orderkey": key, "o_orderstatus": "P"} for key in (1, 2, 3)]
    assert client.post("/orders/status", json=items).status_code == 200
    assert (database.execute(ROWS), database.execute(HANGERS_ON)) == before


def test_a_change_under_way_locks_the_orders_table_no_more_than_a_read(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    assert set_status(client, 2, "F").status_code == 200
    with ThreadPoolExecutor(1) as threads:
        with held_change(database, 1):
            answer = threads.submit(set_status, client, 1, "F")
            wait_for_waiting(database)
            assert database.execute(LOCKS) == [("AccessShareLock",)]
        assert answer.result().status_code == 200


def test_tables_that_another_role_made_and_did_not_grant_are_a_problem_of_their_own(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    database.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {ROLE}")
    with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as owner:
        overlay_tables.set_up(owner, "lakebase_api", ORDERS_TABLES)
    client = open_app(database.environment).test_client()
    for path in READINGS:
        assert_problem(client.get(path), 503, "status-changes-not-set-up")
    assert_problem(set_status(client, 1, "F"), 503, "status-changes-not-set-up")
    for grant in overlay_tables.grants("lakebase_api", ROLE, ORDERS_TABLES):
        database.execute(grant)
    assert set_status(client, 1, "F").status_code == 200
    assert status_of(client, 1) == "F"


def test_a_role_that_may_not_make_the_tables_finds_them_by_itself_once_they_are_there(
    database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {ROLE}")
    monkeypatch.setattr(overlay, "INTERVAL", 0.0)
    reader = open_app(database.environment).test_client()
    assert status_of(reader, 1) == "O"
    with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as owner:
        overlay_tables.set_up(owner, "lakebase_api", ORDERS_TABLES)
    for grant in overlay_tables.grants("lakebase_api", ROLE, ORDERS_TABLES):
        database.execute(grant)
    assert set_status(open_app(database.environment).test_client(), 1, "F").status_code == 200
    assert status_of(reader, 1) == "F"


def test_the_schema_may_have_any_name(database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**database.environment, "STATUS_SCHEMA": 'Odd "Changes"'}).test_client()
    assert set_status(client, 1, "F").status_code == 200
    assert status_of(client, 1) == "F"
    assert changes_of(client, 1) == [(1, "O", "F")]
    assert database.execute(SCHEMA_EXISTS) == [(0,)]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("public.others", {"DEFAULT_POSTGRES_TABLE": "others"}),
        ("elsewhere.orders_synced", {"DEFAULT_POSTGRES_SCHEMA": "elsewhere"}),
    ],
    ids=["table", "schema"],
)
def test_the_orders_of_several_tables_in_one_database_do_not_mix(
    database: OrdersDatabase, client: FlaskClient, open_app: AppOpener, name: str, other: dict[str, str]
) -> None:
    database.execute("CREATE SCHEMA elsewhere")
    database.execute(f"GRANT USAGE ON SCHEMA elsewhere TO {ROLE}")
    database.execute(f"CREATE TABLE {name} AS SELECT * FROM orders_synced WHERE o_orderkey < 100")
    database.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (o_orderkey); GRANT SELECT ON {name} TO {ROLE}")
    second = open_app({**database.environment, **other}).test_client()
    key = {"Idempotency-Key": '"one"'}
    assert set_status(client, 1, "F", key).status_code == 200
    etag = etag_of(second, 1)
    assert (status_of(second, 1), changes_of(second, 1)) == ("O", [])
    answer = set_status(second, 1, "P", {**key, "If-Match": etag})
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers
    assert (status_of(client, 1), changes_of(client, 1)) == ("F", [(1, "O", "F")])
    assert (status_of(second, 1), changes_of(second, 1)) == ("P", [(1, "O", "P")])
    assert shown_in_lists(second) == [["P", "O"]] * 2


def test_where_changes_are_off_they_are_refused_and_those_made_before_still_show(
    database: OrdersDatabase, client: FlaskClient, open_app: AppOpener
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    off = open_app({**database.environment, "STATUS_WRITES": "off"}).test_client()
    assert_problem(set_status(off, 1, "O"), 403, "status-writes-off")
    assert_problem(off.delete("/orders/1/status"), 403, "status-writes-off")
    item = {"o_orderkey": 1, "o_orderstatus": "O"}
    assert_problem(off.post("/orders/status", json=[item]), 403, "status-writes-off")
    assert status_of(off, 1) == "F"
    assert changes_of(off, 1) == [(1, "O", "F")]


def test_tables_that_were_removed_are_made_anew_by_the_next_change(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    assert status_of(client, 1) == "F"
    database.execute("DROP SCHEMA lakebase_api CASCADE")
    assert status_of(client, 1) == "O"
    key = add_order(database)
    assert set_status(client, key, "F").status_code == 200
    assert status_of(client, key) == "F"


def test_a_change_that_always_meets_another_is_given_up(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    assert set_status(client, 1, "F").status_code == 200
    database.execute(
        "CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE unique_violation USING SCHEMA = 'lakebase_api', TABLE = 'orders_history'; END $$;"
        " CREATE TRIGGER meet BEFORE INSERT ON lakebase_api.orders_history"
        " FOR EACH ROW EXECUTE FUNCTION meet()"
    )
    answer = set_status(client, 1, "P")
    assert_problem(answer, 503, "transaction-conflict")
    database.execute("DROP FUNCTION meet CASCADE")
    assert set_status(client, 1, "P").status_code == 200
    assert changes_of(client, 1) == [(2, "F", "P"), (1, "O", "F")]
