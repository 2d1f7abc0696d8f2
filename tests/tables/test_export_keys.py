"""Exports of tables with keys of every kind: no row is left out, none comes twice, wherever one goes on."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from lakebase_api.app import create_app, get_service
from lakebase_api.environment import load_settings
from lakebase_api.http import exporting
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.sql import key_ranges
from lakebase_api.sql.export_chunks import Size
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.loading import load_tables
from lakebase_api.table.types import find_type
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.orders.exporting import NASTY, copy

pytestmark = pytest.mark.slow

TEXTS = [
    *NASTY,
    "/",
    "a/b",
    "a//b",
    "%",
    "%2F",
    "a%2Fb",
    "100%25",
    "~",
    "~2F",
    "a?b=c",
    "a b",
    "a+b",
    "&cursor=1#",
    "ß",
    "x" * 500,
]
DAYS = ["-infinity", "4714-11-24 BC", "0044-03-15 BC", "0001-01-01", "1996-02-29", "10000-01-01", "infinity"]
TIMES = [
    "-infinity",
    "4714-11-25 00:00:00+00 BC",
    "0044-03-15 12:00:00.000001+00 BC",
    "1883-11-18 12:03:57-04:56:02",
    "2026-01-02 03:04:05+00",
    "2026-01-02 03:04:05.000001+00",
    "2026-01-02 03:04:05.1+00",
    "2026-01-02 03:04:05.123456+00",
    "294276-12-31 23:59:59.999999+00",
    "infinity",
]
UUIDS = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"] + [
    f"{number:08x}-9a4e-4c58-9a4e-1d2f3c4b5a69" for number in range(1, 2**31, 2**28)
]
BIGINTS = [-(2**63), -(2**53) - 1, -5, -1, 0, 1, 7, 2**53, 2**53 + 1, 2**63 - 1]


class Case(NamedTuple):
    """The types of a key's columns, and the values of its first one."""

    types: tuple[str, ...]
    values: Sequence[object]
    others: Sequence[object] = ()

    @property
    def keys(self) -> list[tuple[object, ...]]:
        """All keys."""
        if not self.others:
            return [(value,) for value in self.values]
        return [(value, other) for value in self.values for other in self.others]


CASES = {
    "smallints": Case(("smallint",), [-(2**15), -1, 0, 1, 2**15 - 1]),
    "bigints": Case(("bigint",), BIGINTS),
    "texts": Case(("text",), TEXTS),
    "varchars": Case(("varchar(600)",), TEXTS),
    "chars": Case(("char(12)",), ["", "a", "b  c", "/", "%", "'", '"', "é", "\n", "z" * 12]),
    "uuids": Case(("uuid",), UUIDS),
    "days": Case(("date",), [*DAYS, "5874897-12-31"]),
    "times": Case(("timestamptz",), TIMES),
    "numbers_and_numbers": Case(("bigint", "integer"), BIGINTS, [-(2**31), -1, 0, 3, 2**31 - 1]),
    "texts_and_texts": Case(
        ("text", "text"), ["", "/", "%", "~2F", "a/b", "a%2Fb", "é"], ["", "/", "%2F", "~", "\n", '"']
    ),
    "uuids_and_times": Case(("uuid", "timestamptz"), UUIDS[:3], TIMES),
    "days_and_texts": Case(("date", "text"), DAYS, ["", "/", "x"]),
}


def declare(name: str, case: Case) -> Table:
    """The table of a case, with a column that is not of its key before those that are."""
    names = [f"k{place}" for place, _ in enumerate(case.types, 1)]
    columns = [Column("what", find_type("text"))]
    columns += [Column(name, find_type(text)) for name, text in zip(names, case.types, strict=True)]
    return Table(name, name.removesuffix("s"), "public", name, tuple(columns), tuple(names))


TABLES = [declare(name, case) for name, case in CASES.items()]
# Of one column and of several; the others take long where each row is gone on from.
QUICK = ("texts", "numbers_and_numbers")
EACH = [
    pytest.param(table, id=table.name, marks=() if table.name in QUICK else pytest.mark.slow)
    for table in TABLES
]


@pytest.fixture(scope="module")
def keyed(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database with the tables, for tests that only read."""
    database = clone_database(server, "orders_and_keyed")
    with psycopg.connect(server.conninfo(database.name), autocommit=True) as connection:
        for table, case in zip(TABLES, CASES.values(), strict=True):
            names = ", ".join(table.key_names)
            columns = ", ".join(f"{key.name} {key.type.name}" for key in table.key)
            create = f"CREATE TABLE {table.name} (what text, {columns}, PRIMARY KEY ({names}))"
            connection.execute(f"{create}; GRANT SELECT ON {table.name} TO {ROLE}".encode())
            values = ", ".join(f"%s::{key.type.name}" for key in table.key)
            insert = f"INSERT INTO {table.name} VALUES (%s, {values})".encode()
            rows = [(NASTY[number % len(NASTY)], *key) for number, key in enumerate(case.keys)]
            connection.cursor().executemany(insert, rows)
    return database


def build_app(database: OrdersDatabase) -> Flask:
    """An app that serves the tables beside orders."""
    settings = load_settings(database.environment)
    return create_app(settings, [*load_tables(settings), *TABLES])


@pytest.fixture(scope="module")
def app(keyed: OrdersDatabase) -> Iterator[Flask]:
    app = build_app(keyed)
    get_service(app).open()
    yield app
    get_service(app).close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def stopping(keyed: OrdersDatabase) -> Iterator[FlaskClient]:
    """A client of a service that is about to stop: each export ends as soon as it may."""
    app = build_app(keyed)
    get_service(app).open(lambda: True)
    yield app.test_client()
    get_service(app).close()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one row."""
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(1, 1))
    monkeypatch.setattr(key_ranges, "USUAL_BYTES", 1)


def select(table: Table) -> str:
    return (
        f"SELECT what, {', '.join(table.key_names)} FROM {table.name} ORDER BY {', '.join(table.key_names)}"
    )


def copy_json(database: OrdersDatabase, table: Table) -> bytes:
    marks = r"FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02'"
    return copy(
        database, f"SELECT replace(row_to_json(o)::text, '+00:00', 'Z') FROM ({select(table)}) AS o", marks
    )


def export(client: FlaskClient, table: Table, **query: str) -> bytes:
    with client.get(f"/{table.name}/export", query_string=query) as answer:
        assert answer.status_code == 200, answer.json
        body: bytes = answer.data
        return body


def write_cursor(parts: Sequence[str]) -> str:
    """The key as somebody writes it who has nothing but the row."""
    if len(parts) == 1:
        return parts[0].replace("~", "~7E")
    return "/".join(part.replace("~", "~7E").replace("/", "~2F") for part in parts)


@pytest.fixture(params=["usual chunks", pytest.param("small chunks", marks=pytest.mark.slow)])
def any_chunks(request: pytest.FixtureRequest) -> None:
    if request.param == "small chunks":
        request.getfixturevalue("small_chunks")


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_an_export_is_what_one_copy_gives(keyed: OrdersDatabase, client: FlaskClient, table: Table) -> None:
    rows = copy(keyed, select(table))
    assert len(list(csv.reader(io.StringIO(rows.decode(), newline="")))) == len(CASES[table.name].keys)
    assert export(client, table, format="csv", header="false") == rows
    assert export(client, table, format="ndjson", trailer="false") == copy_json(keyed, table)


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize("table", EACH)
def test_one_goes_on_from_the_key_of_any_row_of_either_form(client: FlaskClient, table: Table) -> None:
    size = len(table.key)
    lines = export(client, table, format="ndjson", trailer="false").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        cursor = write_cursor([str(json.loads(line)[name]) for name in table.key_names])
        rest = export(client, table, format="ndjson", trailer="false", cursor=cursor)
        assert rest == b"".join(lines[number:])
    whole = export(client, table, format="csv", header="false").decode()
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    for number, row in enumerate(rows, 1):
        following = export(client, table, format="csv", cursor=write_cursor(row[-size:])).decode()
        assert list(csv.reader(io.StringIO(following, newline=""))) == rows[number:]
        assert whole.endswith(following)


@pytest.mark.parametrize("table", EACH)
def test_a_cursor_that_is_told_goes_on_as_it_is_and_encoded(
    client: FlaskClient, stopping: FlaskClient, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PIECE_BYTES", 1)
    for cursor in map(str, follow(stopping, table)[1][:-1]):
        assert re.fullmatch("[A-Za-z0-9._~:/-]*", cursor)
        with client.get(f"/{table.name}/export?format=ndjson&cursor={cursor}") as as_it_is:
            assert as_it_is.data == export(client, table, format="ndjson", cursor=cursor)
            assert as_it_is.status_code == 200


def follow(client: FlaskClient, table: Table) -> tuple[list[bytes], list[object]]:
    """The rows of all parts of an export, and the cursors between them."""
    rows: list[bytes] = []
    cursors: list[object] = []
    query: dict[str, str] = {}
    while True:
        *part, trailer = export(client, table, format="ndjson", **query).splitlines(keepends=True)
        rows += part
        cursors.append(json.loads(trailer)["next_cursor"])
        if cursors[-1] is None:
            return rows, cursors
        query = {"cursor": str(cursors[-1])}


@pytest.mark.parametrize("table", EACH)
def test_the_cursor_is_the_same_behind_a_chunk_and_within_one(
    keyed: OrdersDatabase, stopping: FlaskClient, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PIECE_BYTES", 1)
    rows, within = follow(stopping, table)
    assert b"".join(rows) == copy_json(keyed, table)
    assert len(within) == len(rows) + 1
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(1, 1))
    rows, behind = follow(stopping, table)
    assert b"".join(rows) == copy_json(keyed, table)
    # Where keys are counted up, a chunk ends with a key that no row need have.
    assert table.has_integer_key or behind == within


@pytest.mark.parametrize(
    ("name", "cursor"),
    [
        ("smallints", "x"),
        ("smallints", "9223372036854775808"),
        ("texts", "a\0b"),
        ("uuids", "1"),
        ("uuids", ""),
        ("days", "1996-02-30"),
        ("days", "0000-01-01"),
        ("days", "4714-11-23 BC"),
        ("days", "5874898-01-01"),
        ("days", "1996-01-02 03:04:05Z"),
        ("times", "2026-01-02 03:04:05"),
        ("times", "2026-01-02 25:04:05Z"),
        ("times", "2025-02-29 03:04:05Z"),
        ("times", "2026-01-02 03:04:05+16:00"),
        ("times", "4714-11-23 00:00:00Z BC"),
        ("times", "294277-01-01 00:00:00Z"),
        ("numbers_and_numbers", "1"),
        ("numbers_and_numbers", "1/2/3"),
        ("numbers_and_numbers", "1/x"),
        ("texts_and_texts", "a/b/c"),
        ("texts", "~"),
        ("texts", "a~2"),
        ("texts", "a~00b"),
        ("texts", "~FF"),
        ("texts_and_texts", "~FF/b"),
    ],
)
def test_what_is_no_key_is_refused(client: FlaskClient, name: str, cursor: str) -> None:
    answer = client.get(f"/{name}/export", query_string={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json is not None
    assert [item["name"] for item in answer.json["errors"]] == ["cursor"]


def test_a_key_that_the_column_cannot_have_is_one_to_go_on_from(client: FlaskClient) -> None:
    smallints, numbers = (
        next(table for table in TABLES if table.name == name) for name in ("smallints", "numbers_and_numbers")
    )
    assert export(client, smallints, cursor=str(2**40)) == b""
    assert export(client, smallints, cursor=str(-(2**40)), header="false").count(b"\n") >= 5
    assert export(client, numbers, cursor=f"{2**63 - 1}/{2**40}") == b""


def test_a_time_is_read_with_whatever_zone_and_with_a_plus_sign_that_was_a_blank(client: FlaskClient) -> None:
    for cursor in ("2026-01-02T03:04:05.1Z", "2026-01-02T04:34:05.1+01:30", "2026-01-01 22:04:05.1-05"):
        for spelled in (cursor.replace("+", "%2B"), cursor):
            with client.get(f"/times/export?fields=k1&cursor={spelled.replace(' ', '%20')}") as answer:
                assert answer.data.startswith(b"2026-01-02 03:04:05.123456+00\n"), spelled


@pytest.mark.parametrize("fields", ["k1", "k2,what"])
def test_the_fields_have_the_whole_key(client: FlaskClient, fields: str) -> None:
    answer = client.get(f"/numbers_and_numbers/export?fields={fields}")
    assert answer.status_code == 422
    assert answer.json is not None
    assert [item["name"] for item in answer.json["errors"]] == ["fields"]


def test_the_file_and_the_operation_have_the_name_of_the_table(client: FlaskClient) -> None:
    with client.get("/uuids/export?format=csv") as answer:
        assert answer.headers["Content-Disposition"] == 'attachment; filename="uuids.csv"'
    document = client.get("/openapi.json").json
    assert document is not None
    operation = document["paths"]["/uuids/export"]["get"]
    assert (operation["operationId"], operation["tags"]) == ("export_uuids", ["uuids"])
    assert "each uuid as it was" in operation["description"]
