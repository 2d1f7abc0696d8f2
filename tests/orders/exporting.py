"""Asking for exports, and what they are held against."""

import csv
import io
import json
import re
from typing import Any

import psycopg
from flask.testing import FlaskClient

from tests.conftest import OrdersDatabase

COLUMNS = (
    "o_orderkey, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, "
    "o_shippriority, o_comment"
)
EVERYTHING = f"SELECT {COLUMNS} FROM orders_synced ORDER BY o_orderkey"
# Texts that a writer of CSV or JSON may get wrong.
NASTY = [
    "",
    " ",
    "a,b",
    'a "quoted" b',
    '"',
    "two\nlines",
    "two\r\nlines",
    "\\.",
    "\\n",
    "tab\tand\bmore\f",
    "\x01\x02\x1f\x7f",
    "a/b</script>",
    "\u2028\u2029",
    "é😀",
    "=1+1",
    "+1",
    "-1",
    "@sum",
    "\t=1",
    "\r=1",
    "'=1",
    'x,"o_orderkey":5,\n7,8',
]


def add_nasty_orders(database: OrdersDatabase) -> None:
    """Orders behind the others, with nasty texts and one of NULLs."""
    with psycopg.connect(database.server.conninfo(database.name), autocommit=True) as connection:
        insert = "INSERT INTO orders_synced (o_orderkey, o_clerk, o_comment) VALUES (%s, %s, %s)"
        for key, text in enumerate([*NASTY, None], 1_000_000):
            connection.execute(insert, (key, text, text))


def copy(database: OrdersDatabase, select: str = EVERYTHING, options: str = "FORMAT csv") -> bytes:
    """What one COPY of the statement gives."""
    with (
        psycopg.connect(database.server.conninfo(database.name), autocommit=True) as connection,
        connection.cursor().copy(f"COPY ({select}) TO STDOUT ({options})".encode()) as rows,
    ):
        return b"".join(bytes(row) for row in rows)


def copy_json(database: OrdersDatabase) -> bytes:
    """What one COPY of the orders as JSON gives, a line each."""
    marks = r"FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02'"
    return copy(database, f"SELECT row_to_json(o) FROM ({EVERYTHING}) AS o", marks)


def export(client: FlaskClient, query: str = "") -> bytes:
    """What an export answers with 200."""
    with client.get(f"/orders/export?{query}") as answer:
        assert answer.status_code == 200
        table: bytes = answer.data
        return table


def read_keys(table: bytes) -> list[int]:
    """The keys of CSV without a header."""
    return [int(row[0]) for row in csv.reader(io.StringIO(table.decode(), newline=""))]


def cut_back(part: bytes, form: str) -> tuple[bytes, int | None, bool]:
    """The whole rows of an answer that may be cut, the last one's key, and whether NDJSON says it is all.

    As a client does that follows the rules: a line end within quotes ends no row of CSV.
    """
    rows: list[bytes] = []
    row, key = b"", None
    for line in part.splitlines(keepends=True) if form == "ndjson" else re.split(rb"(?<=\n)", part):
        row += line
        if not row.endswith(b"\n") or (form == "csv" and row.count(b'"') % 2):
            continue
        if form == "ndjson":
            found: dict[str, Any] = json.loads(row)
            if "next_cursor" in found:
                return b"".join(rows), found["next_cursor"] or key, found["next_cursor"] is None
            key = found["o_orderkey"]
        elif row[:1].isdigit():
            key = int(row.split(b",")[0])
        rows.append(row)
        row = b""
    return b"".join(rows), key, False
