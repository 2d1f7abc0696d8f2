"""How an export shows values of every type: CSV as COPY has it, NDJSON as row_to_json."""

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from lakebase_api.app import create_app, get_service
from lakebase_api.environment import load_settings
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.loading import load_tables
from lakebase_api.table.types import NUMBERS, find_type
from tests.conftest import ROLE, OrdersDatabase, clone_database
from tests.orders.exporting import copy

# By the type, values that are easily shown in another way.
VALUES = {
    "smallint": "-32768 32767",
    "integer": "-2147483648 0",
    "bigint": "9007199254740993 -9223372036854775808",
    "numeric": "NaN 0.10 -Infinity 12345678901234567890.1234567890 1e-20",
    "numeric(18,2)": "1.50 9999999999999999.99",
    "real": "0.1 NaN -Infinity 1e20 -0",
    "double precision": "0.1 NaN Infinity 1e-300 123456789.123456789",
    "boolean": "true false",
    "text": "=1+1 , -1 NULL \\. é😀",
    "varchar(9)": "@x 'y",
    "char(4)": "= ab",
    "mood": "=so-so happy",
    "uuid": "00000000-0000-0000-0000-00000000000A",
    "date": "infinity -infinity 5874897-12-31",
    "time": "24:00:00 00:00:00.000001",
    "timestamp": "infinity 2026-01-02T03:04:05.120",
    "timestamptz": "-infinity 2026-01-02T03:04:05.123456Z 1883-11-18T12:03:57-04:56:02",
    "jsonb": '{"a":1.10,"b":[1e400,null]} null "x" -1.0',
    "bytea": "\\x00ff \\x",
    "text[]": '{a,NULL,"","a\\"b,c"} {} {{a,b},{c,d}} [3:4]={x,y}',
    "integer[]": "{1,NULL}",
    "numeric[]": "{NaN,1.10}",
    "double precision[]": "{NaN,0.1}",
    "boolean[]": "{t,f}",
    "timestamptz[]": "{infinity,2026-01-02T03:04:05Z}",
}
JSON = '{"b" :\r\n  1.10,\n\t"a":"x\\ny"}'


@pytest.fixture(scope="module")
def database(server: EmbeddedPostgres) -> OrdersDatabase:
    database = clone_database(server, "orders_and_forms")
    names = [f"c{number}" for number, _ in enumerate(VALUES)]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, VALUES, strict=True))
    database.execute("CREATE TYPE mood AS ENUM ('=so-so', 'happy')")
    database.execute(f"CREATE TABLE forms (id smallint PRIMARY KEY, {columns}, doc json)")
    for number in range(5):
        cells = []
        for kind, values in VALUES.items():
            value = dict(enumerate(values.split(" "))).get(number)
            cells.append("NULL" if value is None else f"$v${value}$v$::{kind}")
        database.execute(f"INSERT INTO forms VALUES ({number}, {', '.join(cells)}, $v${JSON}$v$)")
    database.execute(f"INSERT INTO forms (id) VALUES (9); GRANT SELECT ON forms TO {ROLE}")
    return database


def declare(*, as_text: bool) -> Table:
    types = {"id": "smallint", **{f"c{number}": kind for number, kind in enumerate(VALUES)}}
    types |= {"doc": "json"}
    found = {name: find_type(kind, is_enum=kind == "mood") for name, kind in types.items()}
    columns = tuple(
        Column(name, kind, is_text_in_json=as_text and kind.kind in NUMBERS) for name, kind in found.items()
    )
    one = "text" if as_text else "form"
    return Table(f"{one}s", one, "public", "forms", columns, ("id",))


PLAIN, TEXTS = declare(as_text=False), declare(as_text=True)


@pytest.fixture(scope="module")
def client(database: OrdersDatabase) -> Iterator[FlaskClient]:
    settings = load_settings(database.environment)
    app = create_app(settings, [*load_tables(settings), PLAIN, TEXTS])
    get_service(app).open()
    yield app.test_client()
    get_service(app).close()


def export(client: FlaskClient, table: str, query: str) -> bytes:
    with client.get(f"/{table}/export?trailer=false&header=false&{query}") as answer:
        assert answer.status_code == 200, answer.json
        body: bytes = answer.data
        return body


def test_csv_is_what_copy_gives(database: OrdersDatabase, client: FlaskClient) -> None:
    expected = copy(database, "SELECT * FROM forms ORDER BY id")
    assert export(client, "forms", "format=csv") == expected
    assert export(client, "texts", "format=csv") == expected


def test_ndjson_is_what_row_to_json_gives_with_each_row_on_one_line(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    lines = export(client, "forms", "format=ndjson").decode().split("\n")
    assert lines.pop() == ""
    rows = database.execute("SELECT replace(row_to_json(f)::text, '+00:00', 'Z') FROM forms AS f ORDER BY id")
    assert lines == [str(text).replace("\r\n", "  ").replace("\n", " ") for (text,) in rows]
    assert '"doc":{"b" :    1.10, \t"a":"x\\ny"}' in lines[0]


def test_numbers_that_are_declared_as_strings_are_texts_with_their_digits(client: FlaskClient) -> None:
    first = json.loads(export(client, "texts", "format=ndjson").split(b"\n")[0])
    kinds = dict(zip(VALUES, (f"c{number}" for number, _ in enumerate(VALUES)), strict=True))
    for kind, expected in {
        "smallint": "-32768",
        "bigint": "9007199254740993",
        "numeric": "NaN",
        "double precision": "0.1",
        "boolean": True,
    }.items():
        assert first[kinds[kind]] == expected


def test_great_integers_are_texts_if_asked(client: FlaskClient) -> None:
    column = f"c{list(VALUES).index('bigint')}"
    rows = export(client, "forms", f"format=ndjson&great_integers=text&fields=id,{column}").splitlines()
    assert [json.loads(row)[column] for row in rows[:3]] == ["9007199254740993", "-9223372036854775808", None]


def test_texts_that_are_formulas_are_escaped_and_no_other_value(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    cells = ["id"]
    for number, kind in enumerate(VALUES):
        is_text = kind in ("text", "varchar(9)", "char(4)", "mood")
        shown = (
            f"CASE WHEN c{number}::text ~ '^[-=@+]' THEN concat('''', c{number}) ELSE concat(c{number}) END"
        )
        cells.append(f"CASE WHEN c{number} IS NOT NULL THEN {shown} END" if is_text else f"c{number}")
    expected = copy(database, f"SELECT {', '.join(cells)}, doc FROM forms ORDER BY id")
    assert export(client, "forms", "format=csv&quote_formulas=true") == expected
    assert b"'=so-so" in expected
