"""Tables held against what a real PostgreSQL writes of the same rows."""

import csv
import io
import json
import math
import random
import struct
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec
import psycopg
import pytest
from psycopg import sql

from lakebase_api.http.csv_ndjson import write_csv, write_ndjson
from lakebase_api.http.json_response import answer_json
from lakebase_api.lakebase.session import keep_values
from tests.conftest import OrdersDatabase

COLUMNS = (
    "o_orderkey",
    "o_custkey",
    "o_orderstatus",
    "o_totalprice",
    "o_orderdate",
    "o_orderpriority",
    "o_clerk",
    "o_shippriority",
    "o_comment",
)
Order = msgspec.defstruct("Order", COLUMNS)
COPY = "COPY ({}) TO STDOUT (FORMAT csv, HEADER)"
TEXTS = [
    None,
    "",
    " ",
    "plain",
    "a,b",
    'say "so"',
    '"',
    '""',
    "a\nb",
    "a\r\nb",
    "\r",
    "\t",
    "\\.",
    "\\N",
    "\\",
    "NULL",
    "null",
    "'",
    ";",
    "é€😀",
    "\u2028",
    "\x01\x7f",
    " leading and trailing ",
    "=1+1",
    "-5",
]
NUMBERS = ["0", "0.00", "-0.0", "1", "1.10", "-12.50", "173665.47", "0.0000001", "-0.000000000000001", "1e30"]
NUMBERS += ["123456789012345678901234567890.123456789", "NaN", "Infinity", "-Infinity"]
FLOATS = ["0", "-0", "1", "0.1", "-1.5", "173665.47", "0.0001", "1e14", "999999999999999"]
FLOATS += ["NaN", "Infinity", "-Infinity"]
DATES = ["1996-01-02", "0001-01-01", "9999-12-31", "10000-01-01", "5874897-12-31", "0044-03-15 BC"]
DATES += ["4714-11-24 BC", "infinity", "-infinity"]


@pytest.fixture
def session(unchanged_database: OrdersDatabase) -> Iterator[psycopg.Connection]:
    conninfo = unchanged_database.server.conninfo(unchanged_database.name)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        keep_values(connection)
        yield connection


def copy(session: psycopg.Connection, query: str) -> bytes:
    with session.cursor().copy(COPY.format(query).encode()) as rows:
        return b"".join(bytes(part) for part in rows)


def write(session: psycopg.Connection, query: str, *, disarmed: Collection[str] = ()) -> bytes:
    cursor = session.execute(query.encode())
    assert cursor.description
    names = [column.name for column in cursor.description]
    return write_csv(names, cursor.fetchall(), disarmed=disarmed)


def values(texts: Sequence[str | None], kind: str) -> str:
    """A query for a column of these values, in this order."""
    literals = ", ".join(
        f"({i}, {sql.Literal(text).as_string(None)}::{kind})" for i, text in enumerate(texts)
    )
    return f"SELECT v FROM (VALUES {literals}) AS t (i, v) ORDER BY i"


@pytest.mark.parametrize(
    "query",
    [
        values(TEXTS, "text"),
        values([text for text in TEXTS if text], "text"),
        values([text for text in TEXTS if text is not None], "varchar"),
        values(["x", None, "a,b", ""], "char(5)"),
        values(["\\."], "text"),
        values([None], "text"),
        values([""], "text"),
        values(NUMBERS, "numeric"),
        values([*NUMBERS, None], "numeric"),
        values(["0", "1.5", None], "numeric(18, 2)"),
        values(FLOATS, "float8"),
        values(["1.1", "-2", "0.0001", "173665.47", "NaN"], "real"),
        values(["0", "-1", "9223372036854775807", "-9223372036854775808", None], "bigint"),
        values(["true", "false", None], "boolean"),
        values([*DATES, None], "date"),
        'SELECT 1 AS "a,b", 2 AS "say ""so""", NULL AS "=A1", \'\\.\' AS " x "',
        "SELECT '\\.', '\\.'",
        "SELECT NULL, NULL",
        "SELECT '', NULL",
    ],
)
def test_csv_is_what_copy_writes(session: psycopg.Connection, query: str) -> None:
    assert write(session, query) == copy(session, query)


def test_orders_are_written_as_copy_writes_them(session: psycopg.Connection) -> None:
    query = f"SELECT {', '.join(COLUMNS)} FROM orders_synced ORDER BY o_orderkey"
    assert write(session, query) == copy(session, query)


def test_orders_with_gaps_are_written_as_copy_writes_them(session: psycopg.Connection) -> None:
    chance = random.Random(7)
    session.execute("CREATE TEMP TABLE nasty (LIKE orders_synced)")
    for key in range(300):
        nasty = [chance.choice(TEXTS) for _ in range(3)]
        # In random places, and columns in which everything is there or nothing.
        day = chance.choice([date(1996, 1, 2), None])
        price = chance.choice([Decimal("-1.50"), Decimal(0), None])
        row = (key, chance.choice([5, None]), "F", price, day, nasty[0], nasty[1], None, nasty[2])
        session.execute("INSERT INTO nasty VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)", row)
    query = "SELECT * FROM nasty ORDER BY o_orderkey"
    assert write(session, query) == copy(session, query)


def test_a_double_is_written_as_copy_writes_it_or_as_the_same_number(session: psycopg.Connection) -> None:
    chance = random.Random(7)
    bits = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(1000)]
    around = [chance.uniform(0.1, 10) * 10 ** chance.randint(-6, 20) for _ in range(1000)]
    doubles = [number for number in (*bits, *around) if math.isfinite(number)]
    query = f"SELECT unnest('{{{','.join(map(repr, doubles))}}}'::float8[]) AS v"
    lines = [table.decode().splitlines()[1:] for table in (write(session, query), copy(session, query))]
    for number, ours, theirs in zip(doubles, *lines, strict=True):
        assert ours == theirs if 1e-4 <= abs(number) < 1e15 else float(ours) == float(theirs) == number


def test_csv_goes_back_into_a_table_as_it_came_out(session: psycopg.Connection) -> None:
    query = "SELECT * FROM orders_synced ORDER BY o_orderkey LIMIT 100"
    table = write(session, query)
    session.execute("CREATE TEMP TABLE again (LIKE orders_synced)")
    with session.cursor().copy("COPY again FROM STDIN (FORMAT csv, HEADER)") as rows:
        rows.write(table)
    assert write(session, "SELECT * FROM again ORDER BY o_orderkey") == table


def test_a_list_without_rows_is_the_names_alone() -> None:
    assert write_csv(["a", "b"], [], disarmed=["a"]) == b"a,b\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("others", [[], [None], ["plain"], [""], ["a,b"]])
def test_a_text_that_a_spreadsheet_would_compute_is_disarmed(start: str, others: list[str | None]) -> None:
    rows = [[text] for text in (f"{start}1", start, f'{start}HYPERLINK("x","y")', f"a{start}1", *others)]
    written = write_csv(["a"], rows, disarmed=["a"]).decode()
    read = list(csv.reader(io.StringIO(written, newline="")))
    expected = [f"'{start}1", f"'{start}", f'\'{start}HYPERLINK("x","y")', f"a{start}1"]
    # A text that is nothing is a line that is nothing, or "".
    assert [cell for row in read[1:] for cell in row or [""]] == expected + [text or "" for text in others]


def test_numbers_and_dates_are_no_formulas() -> None:
    row: list[object] = [-5, Decimal("-5.50"), Decimal("-Infinity"), "-infinity", True, None]
    nothing: list[object] = [None] * 6
    for rows in ([row], [row, nothing]):
        written = write_csv(list("abcdef"), rows, disarmed=["a"])
        assert written.splitlines()[1] == b"-5,-5.50,-Infinity,-infinity,t,"


def test_formulas_are_left_alone_where_nobody_asks_to_change_them() -> None:
    assert write_csv(["a"], [["=1+1"], ["-"]]) == b"a\n=1+1\n-\n"


def test_each_line_of_ndjson_is_what_a_single_answer_is() -> None:
    price = Decimal("123456789012345678.10")
    orders = [
        Order(1, 5, "O", price, "1996-01-02", "5-LOW", 'a\nb"c', 0, "é\u2028"),
        Order(2, *[None] * 8),
    ]
    lines = write_ndjson(orders).split(b"\n")
    assert lines == [answer_json(order).data for order in orders] + [b""]
    assert b'"o_totalprice":123456789012345678.10' in lines[0]
    assert json.loads(lines[1]) == msgspec.to_builtins(orders[1])
    assert write_ndjson([]) == b""
