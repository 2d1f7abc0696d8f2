from contextlib import ExitStack
from itertools import zip_longest

import pytest
from flask.testing import FlaskClient

from lakebase_api.app import get_service
from lakebase_api.http.csv_ndjson import FORMULA_STARTS
from lakebase_api.http.logs import RequestIdFilter
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.sql import key_ranges
from lakebase_api.sql.export_chunks import Size
from tests.conftest import AppOpener, OrdersDatabase, clone_database, make_app
from tests.http.unopened import build_app
from tests.orders.changing import set_status
from tests.orders.exporting import (
    COLUMNS,
    NASTY,
    add_nasty_orders,
    copy,
    copy_json,
    cut_back,
    export,
    read_keys,
)
from tests.waiting import wait_until

HEADER = COLUMNS.replace(" ", "").encode() + b"\n"
END = b'{"next_cursor":null}\n'


@pytest.fixture(scope="module")
def nasty_database(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database with nasty texts that the tests of this module only read."""
    database = clone_database(server, "orders_nasty")
    add_nasty_orders(database)
    return database


@pytest.fixture
def exporter(nasty_database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    return open_app(nasty_database.environment).test_client()


@pytest.fixture(params=[Size(1, 1), Size(40, 7), key_ranges.FIRST_SIZE], ids=str)
def first_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that begin small and grow, or come to stay small."""
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", request.param)
    if request.param.rows == 7:
        monkeypatch.setattr(key_ranges, "USUAL_BYTES", 2000)


@pytest.mark.usefixtures("first_size")
def test_an_export_is_what_one_copy_gives_byte_for_byte(
    nasty_database: OrdersDatabase, exporter: FlaskClient
) -> None:
    assert export(exporter) == HEADER + copy(nasty_database)
    assert export(exporter, "format=ndjson") == copy_json(nasty_database) + END


def test_a_line_of_json_is_the_order_as_lists_show_it(exporter: FlaskClient) -> None:
    lines = exporter.get(
        "/orders/stream?cursor=59000&page_size=1000", headers={"Accept": "application/x-ndjson"}
    )
    assert lines.data.count(b"\n") > len(NASTY)
    assert export(exporter, "format=ndjson&cursor=59000") == lines.data + END


def test_formulas_are_disarmed_as_in_lists(exporter: FlaskClient) -> None:
    query = "cursor=59000&page_size=1000&quote_formulas=true"
    table = exporter.get(f"/orders/stream?{query}", headers={"Accept": "text/csv"}).data
    assert export(exporter, "cursor=59000&quote_formulas=true&header=true") == table
    assert all(f"'{start}".encode() in table for start in FORMULA_STARTS)
    plain = export(exporter, "cursor=59000&format=ndjson")
    assert export(exporter, "cursor=59000&format=ndjson&quote_formulas=true") == plain


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("o_custkey=370&o_custkey=1234", "o_custkey IN (370, 1234)"),
        ("o_custkey=370", "o_custkey = 370"),
        ("o_orderstatus=P", "o_orderstatus = 'P'"),
        ("o_orderstatus=P&o_orderstatus=F", "o_orderstatus IN ('F', 'P')"),
        ("o_orderpriority=5-LOW&o_orderpriority=1-URGENT", "o_orderpriority IN ('5-LOW', '1-URGENT')"),
        ("o_clerk=a,b&o_clerk=%22&o_clerk={x}&o_clerk=\\.", "o_clerk IN ('a,b', '\"', '{x}', E'\\\\.')"),
        ("o_clerk='=1", "o_clerk = '''=1'"),
        (
            "o_orderdate_from=1995-01-02&o_orderdate_to=1995-02-01",
            "o_orderdate BETWEEN '1995-01-02' AND '1995-02-01'",
        ),
        ("o_totalprice_min=1000.5&o_totalprice_max=2000", "o_totalprice BETWEEN 1000.5 AND 2000"),
        ("o_custkey=9223372036854775807", "false"),
    ],
)
def test_filters_choose_the_rows_that_they_choose_in_lists(
    nasty_database: OrdersDatabase, exporter: FlaskClient, query: str, condition: str
) -> None:
    select = f"SELECT {COLUMNS} FROM orders_synced WHERE {condition} ORDER BY o_orderkey"
    assert export(exporter, query) == HEADER + copy(nasty_database, select)


def test_fields_are_shown_in_their_order_wherever_the_key_stands(
    nasty_database: OrdersDatabase, exporter: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "USUAL_BYTES", 50)
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(100_000, 3))
    columns = "o_comment, o_clerk, o_orderkey"
    select = f"SELECT {columns} FROM orders_synced WHERE o_orderkey > 59000 ORDER BY o_orderkey"
    found = export(exporter, "fields=o_comment,o_clerk,o_orderkey&cursor=59000")
    assert found == copy(nasty_database, select)


def test_the_header_comes_at_the_beginning_unless_said_otherwise(exporter: FlaskClient) -> None:
    names = b"o_orderkey\n"
    for query, has_header in (("", True), ("cursor=7&", False), ("header=false&", False)):
        assert export(exporter, f"{query}fields=o_orderkey").startswith(names) == has_header
    with exporter.get("/orders/export?fields=o_orderkey&cursor=7&header=true") as answer:
        assert answer.data.startswith(names + b"32\n")
        assert answer.content_type == "text/csv; charset=utf-8; header=present"


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_cut_at_any_byte_and_gone_on_from_the_last_whole_row_the_parts_make_the_whole(
    exporter: FlaskClient, form: str
) -> None:
    begin = 59990
    rests = {begin: export(exporter, f"format={form}&header=true&cursor={begin}")}
    whole = rests[begin]
    for size in range(len(whole) + 1):
        rows, key, is_all = cut_back(whole[:size], form)
        assert is_all == (form == "ndjson" and size == len(whole))
        if key is None:
            assert rows in (b"", HEADER)
        elif not is_all:
            if key not in rests:
                rests[key] = export(exporter, f"format={form}&cursor={key}")
            assert rows + rests[key] == whole
    assert len(rests) > len(NASTY)
    last = max(rests)
    assert export(exporter, f"cursor={last}") == b""


def test_what_the_database_has_as_its_own_way_to_write_is_not_how_an_export_writes(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    add_nasty_orders(database)
    expected = copy(database)
    for setting in ("DateStyle = 'SQL, DMY'", "client_encoding = 'LATIN1'"):
        database.execute(f"ALTER DATABASE {database.name} SET {setting}")
    client = open_app(database.environment).test_client()
    assert export(client, "header=false") == expected


def test_an_export_of_nothing_is_whole(exporter: FlaskClient) -> None:
    assert export(exporter, "cursor=9223372036854775807") == b""
    assert export(exporter, "o_clerk=nobody") == HEADER
    assert export(exporter, "o_clerk=nobody&format=ndjson") == END


@pytest.mark.parametrize(
    ("headers", "query", "media_type"),
    [
        ({}, "", "text/csv"),
        ({"Accept": "application/x-ndjson"}, "", "application/x-ndjson"),
        ({"Accept": "application/x-ndjson"}, "?format=csv", "text/csv"),
        ({"Accept": "application/json"}, "?format=ndjson", "application/x-ndjson"),
        ({"Accept": "application/json"}, "", "text/csv"),
        ({"Accept": "application/problem+json"}, "", "text/csv"),
    ],
)
def test_the_format_is_what_is_asked_for_in_the_query_and_else_what_is_accepted(
    exporter: FlaskClient, headers: dict[str, str], query: str, media_type: str
) -> None:
    with exporter.get(f"/orders/export{query}", headers=headers) as answer:
        assert answer.mimetype == media_type
        name = "orders.csv" if media_type == "text/csv" else "orders.ndjson"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("format=json", "format"),
        ("cursor=-9223372036854775809", "cursor"),
        ("cursor=x", "cursor"),
        ("header=maybe", "header"),
        ("fields=o_clerk", "fields"),
        ("fields=o_clerk,nothing", "fields"),
        ("sort=o_clerk", "sort"),
        ("page_size=5", "page_size"),
    ],
)
def test_wrong_parameters_are_refused_by_name(reader: FlaskClient, query: str, name: str) -> None:
    answer = reader.get(f"/orders/export?{query}")
    assert answer.status_code == 422
    assert answer.json is not None
    assert [item["name"] for item in answer.json["errors"]] == [name]


def test_asking_for_the_head_alone_does_not_ask_the_database() -> None:
    answer = build_app().test_client().head("/orders/export")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")


def test_the_log_says_how_an_export_ended(exporter: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "lakebase_api")
    with exporter.get("/orders/export?cursor=59990", headers={"X-Request-Id": "mine"}) as answer:
        table = answer.data
    [record] = [record for record in caplog.records if record.getMessage().startswith("Export: ")]
    assert f"{len(read_keys(table))} rows, {len(table)} bytes in 0." in record.getMessage()
    assert record.getMessage().endswith(": complete")
    RequestIdFilter().filter(record)
    assert vars(record)["request_id"] == "mine"


def test_the_status_is_shown_as_changed_from_the_first_change_on(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    before = export(client, "cursor=59900&fields=o_orderkey,o_orderstatus").decode()
    assert "\n60000,P\n" in before
    assert set_status(client, 60000, "F").status_code == 200
    after = export(client, "cursor=59900&fields=o_orderkey,o_orderstatus").decode()
    assert after == before.replace("60000,P", "60000,F")
    filtered = export(client, "o_orderstatus=F&cursor=59900&format=ndjson&fields=o_orderkey").decode()
    assert '{"o_orderkey":60000}\n' in filtered
    assert export(client, "cursor=59996&fields=o_orderkey") == b"60000\n"


def test_a_database_that_is_not_set_up_is_a_problem_and_not_an_answer_cut_short(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    database.execute("REVOKE SELECT ON orders_synced FROM orders_app")
    answer = client.get("/orders/export")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["type"] == "/problems/database-not-set-up"


def test_a_database_that_is_away_is_a_problem_and_not_an_answer_cut_short(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    away = {**unchanged_database.environment, "PGPORT": "9", "WAKE_BUDGET": "0"}
    answer = open_app(away).test_client().get("/orders/export")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["type"] == "/problems/database-unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_exports_whose_clients_take_their_time_share_a_connection_and_keep_it_from_nobody(
    nasty_database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(8_000, 500))
    monkeypatch.setattr(key_ranges, "USUAL_BYTES", 50_000)
    settings = {"EXPORT_CONCURRENCY": "1", "PGAPPNAME": "sharing"}
    client = open_app({**nasty_database.environment, **settings}).test_client()
    queries = ["format=csv", "o_orderstatus=F&format=ndjson", "o_orderstatus=O&o_orderpriority=5-LOW"]
    whole = [export(client, query) for query in queries]
    with ExitStack() as stack:
        answers = [
            stack.enter_context(client.get(f"/orders/export?{query}", buffered=False)) for query in queries
        ]
        parts = [list(pieces) for pieces in zip_longest(*(answer.iter_encoded() for answer in answers))]
        assert count_sessions(nasty_database, "sharing") == 2 + 1
    assert len(parts) > 10
    assert [b"".join(filter(None, pieces)) for pieces in zip(*parts, strict=True)] == whole


def test_no_more_exports_are_under_way_than_may(
    unchanged_database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app({**unchanged_database.environment, "EXPORT_CONCURRENCY": "1"}).test_client()
    slow = [client.get("/orders/export", buffered=False) for _ in range(4)]
    refused = client.get("/orders/export")
    assert refused.status_code == 503
    assert refused.json is not None
    assert refused.json["type"] == "/problems/exports-busy"
    assert int(refused.headers["Retry-After"]) > 0
    slow.pop().close()
    with client.get("/orders/export") as served:
        assert served.status_code == 200
    for answer in slow:
        answer.close()


def test_exports_can_be_switched_off(unchanged_database: OrdersDatabase, open_app: AppOpener) -> None:
    client = open_app({**unchanged_database.environment, "EXPORT_CONCURRENCY": "0"}).test_client()
    assert client.get("/orders/export").status_code == 503


def test_the_connection_is_not_the_pools_and_is_closed_in_the_end(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    name = {"PGAPPNAME": "exporting", "DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}
    client = open_app({**database.environment, **name}).test_client()
    assert client.get("/orders/1").status_code == 200
    with client.get("/orders/export", buffered=False):
        assert count_sessions(database, "exporting") == 2
        assert client.get("/orders/1").status_code == 200
    wait_until(lambda: count_sessions(database, "exporting") == 1)


def test_a_service_that_closes_leaves_no_connection_of_an_export_that_nobody_ended(
    database: OrdersDatabase,
) -> None:
    app = make_app({**database.environment, "PGAPPNAME": "closing"})
    get_service(app).open()
    unread = app.test_client().get("/orders/export", buffered=False)
    get_service(app).close()
    wait_until(lambda: count_sessions(database, "closing") == 0)
    unread.close()


def count_sessions(database: OrdersDatabase, name: str) -> int:
    select = "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()"
    [(count,)] = database.execute(f"{select} AND application_name = '{name}'")
    assert isinstance(count, int)
    return count
