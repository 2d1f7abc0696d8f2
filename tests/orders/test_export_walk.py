"""Exports of a table that is slow, locked or out of reach at times."""

import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
from flask.testing import FlaskClient

from lakebase_api.http import exporting
from lakebase_api.http.hang_up import CutShort
from lakebase_api.sql import export_chunks, key_ranges
from lakebase_api.sql.export_chunks import Size
from lakebase_api.sql.key_ranges import MAX_SIZE, STEP, USUAL_BYTES, USUAL_SECONDS, resize_chunk
from tests.conftest import AppOpener, OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.orders.exporting import COLUMNS, copy, export
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

# A barrier keeps the filters of a statement from being looked at first.
SLOW = """
CREATE VIEW slow_orders WITH (security_barrier = {is_barrier}) AS SELECT * FROM orders_synced
WHERE o_orderkey <= {last} AND (o_orderkey <= 32 OR pg_sleep({seconds}) IS NOT NULL)
"""
FIRST = f"SELECT {COLUMNS} FROM orders_synced WHERE o_orderkey <= 2000 ORDER BY o_orderkey"


def make_slow(
    database: OrdersDatabase, seconds: float = 0.001, *, is_barrier: bool = False, last: int = 2000
) -> dict[str, str]:
    """Settings that serve the orders up to a key, most of which take so long to read."""
    database.execute(SLOW.format(seconds=seconds, is_barrier=is_barrier, last=last))
    database.execute("GRANT SELECT ON slow_orders TO orders_app")
    return {**database.environment, "DEFAULT_POSTGRES_TABLE": "slow_orders"}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that take part of a second even of the slow orders."""
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(100, 25))
    monkeypatch.setattr(key_ranges, "USUAL_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("rows", "seconds", "expected"),
    [
        ([b"x" * 100] * 10, 0.001, Size(100, 10 * STEP)),
        ([b"x" * 100] * 9, 0.001, Size(100 * STEP, 10)),
        ([], 0.001, Size(100 * STEP, 10)),
        ([b"x" * 100] * 10, USUAL_SECONDS * 2, Size(100, 5)),
        ([b"x" * 100] * 9, USUAL_SECONDS * 2, Size(50, 10)),
        ([b"x" * (USUAL_BYTES // 5)] * 10, 0.001, Size(100, 5)),
        ([b"x" * USUAL_BYTES] * 10, 0.001, Size(100, 10 // STEP)),
    ],
)
def test_the_next_chunk_is_as_large_as_a_chunk_may_be(
    rows: list[bytes], seconds: float, expected: Size
) -> None:
    assert resize_chunk(Size(100, 10), rows, seconds) == expected


def test_a_chunk_is_never_of_nothing_and_never_of_all() -> None:
    assert resize_chunk(Size(1, 1), [b"x" * 10 * USUAL_BYTES], 10) == Size(1, 1)
    assert resize_chunk(Size(1, 2), [b"x"], 10) == Size(1, 2)
    assert resize_chunk(MAX_SIZE, [], 0.001) == MAX_SIZE


def test_a_chunk_that_takes_too_long_is_asked_for_in_smaller_ones(
    database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Too little for the 160 orders of the first chunk together, and much for the last few of them.
    monkeypatch.setattr(key_ranges, "MAX_CHUNK_SECONDS", 0.8)
    client = open_app(make_slow(database, 0.01, last=640)).test_client()
    assert export(client, "header=false") == copy(database, FIRST.replace("2000", "640"))


def test_a_chunk_of_too_many_bytes_is_asked_for_in_smaller_ones(
    database: OrdersDatabase, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_chunks, "MAX_BYTES", 10_000)
    whole = copy(database)
    assert len(whole) > 100 * 10_000
    monkeypatch.setattr(key_ranges, "USUAL_BYTES", 9_000)
    assert export(client, "header=false") == whole


def test_a_row_that_takes_too_long_by_itself_is_a_problem(
    database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "MAX_CHUNK_SECONDS", 0.05)
    answer = open_app(make_slow(database, 10)).test_client().get("/orders/export?cursor=32")
    assert answer.status_code == 504


def test_a_lock_on_the_table_is_waited_for(database: OrdersDatabase, client: FlaskClient) -> None:
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute("LOCK TABLE orders_synced")
        threading.Timer(0.5, holder.commit).start()
        assert export(client, "header=false") == copy(database)


def test_a_filter_without_a_match_ends_at_the_end_of_the_table(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    database.execute("INSERT INTO orders_synced (o_orderkey, o_clerk) VALUES (9223372036854775807, 'last')")
    assert export(client, "o_clerk=nobody&format=ndjson") == b'{"next_cursor":null}\n'
    assert export(client, "o_clerk=last&fields=o_orderkey") == b"o_orderkey\n9223372036854775807\n"


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("limit", ["header", "setting"])
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_ends_by_its_time_limit_with_the_cursor_to_go_on_from(
    database: OrdersDatabase, open_app: AppOpener, form: str, limit: str
) -> None:
    environment = make_slow(database, 0.002)
    headers = {"X-Request-Timeout": "0.3"} if limit == "header" else {}
    if limit == "setting":
        environment |= {"EXPORT_TIME_LIMIT": "0.3", "REQUEST_TIMEOUT": "0.1"}
    client = open_app(environment).test_client()
    cursor, rows, parts = 0, b"", 0
    while True:
        query = f"format={form}&header=false&cursor={cursor}&fields=o_orderkey"
        with client.get(f"/orders/export?{query}", headers=headers) as answer:
            if answer.status_code == 503:  # on a busy machine, before there was a row
                assert answer.json is not None
                assert answer.json["type"] == "/problems/export-unfinished"
                continue
            assert answer.status_code == 200
            lines = answer.data.splitlines(keepends=True)
        parts += 1
        if form == "csv":
            if not lines:
                break
            rows += b"".join(lines)
            cursor = int(lines[-1])
        else:
            *orders, last = lines
            rows += b"".join(orders)
            assert last.startswith(b'{"next_cursor":')
            if last == b'{"next_cursor":null}\n':
                break
            cursor = int(last[15:-2])
    assert parts > 2
    select = "SELECT o_orderkey FROM orders_synced WHERE o_orderkey <= 2000 ORDER BY 1"
    keys = copy(database, select).split()
    expected = keys if form == "csv" else [b'{"o_orderkey":%b}' % key for key in keys]
    assert rows.split() == expected


def test_an_export_is_not_bound_by_the_limit_of_other_requests(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    environment = {**make_slow(database), "REQUEST_TIMEOUT": "0.1"}
    began = time.monotonic()
    whole = export(open_app(environment).test_client(), "header=false")
    assert time.monotonic() - began > 0.3
    assert whole == copy(database, FIRST)


def test_a_client_slower_than_a_chunk_gets_the_cursor_in_the_middle_of_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PIECE_BYTES", 1000)
    later = 0.0
    monkeypatch.setattr(exporting, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + later))
    with client.get("/orders/export?format=ndjson", buffered=False) as answer:
        parts = answer.iter_encoded()
        while not (first := next(parts)):
            pass
        later = 1000.0
        rest = b"".join(parts)
    keys = [json.loads(line)["o_orderkey"] for line in first.splitlines()]
    assert len(keys) < 10
    assert rest == b'{"next_cursor":%d}\n' % keys[-1]


@pytest.mark.usefixtures("small_chunks")
def test_an_answer_without_a_row_never_says_that_there_are_none_when_time_was_up(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    client = open_app(make_slow(database, is_barrier=True)).test_client()
    headers = {"X-Request-Timeout": "0.3"}

    def has_come_to_a_key() -> bool:
        answer = client.get("/orders/export?o_totalprice_max=-5", headers=headers)
        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["type"] == "/problems/export-unfinished"
        return "up to key" in answer.json["detail"]

    def tells_a_cursor() -> bool:
        with client.get("/orders/export?o_totalprice_max=-5&format=ndjson", headers=headers) as told:
            assert told.data != b'{"next_cursor":null}\n'
            return told.status_code == 200 and int(told.data.removeprefix(b'{"next_cursor":')[:-2]) > 0

    # On a busy machine time may be up before there was a key.
    wait_until(has_come_to_a_key)
    wait_until(tells_a_cursor)


@pytest.fixture
def proxied(database: OrdersDatabase) -> Iterator[FaultProxy]:
    with FaultProxy(database.server.port) as proxy:
        yield proxy


@pytest.mark.usefixtures("small_chunks")
def test_a_connection_lost_between_chunks_or_in_one_is_opened_anew(
    database: OrdersDatabase, open_app: AppOpener, proxied: FaultProxy
) -> None:
    environment = {**make_slow(database), "PGPORT": str(proxied.port)}
    client = open_app(environment).test_client()
    with client.get("/orders/export?header=false", buffered=False) as answer:
        parts = []
        for part in answer.iter_encoded():
            parts.append(part)
            proxied.cut()
        assert len(parts) > 2
    assert b"".join(parts) == copy(database, FIRST)


def test_an_export_that_cannot_go_on_is_cut_short(
    database: OrdersDatabase, open_app: AppOpener, proxied: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lakebase_api")
    environment = {**make_slow(database), "PGPORT": str(proxied.port), "WAKE_BUDGET": "0"}
    client = open_app(environment).test_client()
    with client.get("/orders/export?header=false", buffered=False) as answer:
        parts = answer.iter_encoded()
        next(parts)
        proxied.refuse()
        proxied.cut()
        with pytest.raises(CutShort):
            list(parts)
    assert ": a fault" in caplog.text
