"""Reading tables of every type and key: each form shows what PostgreSQL writes, and no row is left out."""

import csv
import io
import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.sql import key_pages, sort_pages
from lakebase_api.sql.rows import fetch_all
from tests.conftest import ROLE, OrdersDatabase
from tests.tables.conftest import TablesOpener, copy_database, numbers
from tests.tables.trial import DECLARED, SECRET

NDJSON = {"Accept": "application/x-ndjson"}
CSV = {"Accept": "text/csv"}

MIXED = {
    "id": ["-3", "0", "1", "9007199254740993", "5"],
    "a_numeric": ["1.10", "NaN", "0.00000001", None, "-Infinity"],
    "a_price": ["1.10", "123456789012345678.90", "0.00", None, "-5"],
    "a_real": ["0.1", "NaN", "1e20", None, "-Infinity"],
    "a_double": ["0.1", "1e300", "-0", None, "Infinity"],
    "a_boolean": ["t", "f", "t", None, "f"],
    "a_text": ["a", "", "=1+1", None, 'tw"o\n,lines'],
    "a_char": ["ab", "", "abc", None, " x"],
    "a_mood": ["sad", "ok", "happy", None, "sad"],
    "a_uuid": ["123E4567-e89b-12d3-a456-426614174000", *[None] * 4],
    "a_date": ["1996-01-02", "infinity", "0044-03-15 BC", None, "10000-01-01"],
    "a_time": ["13:45:00", "00:00:00.000001", "24:00:00", None, "23:59:59.9"],
    "a_timestamp": [
        "1996-01-02 03:04:05",
        "-infinity",
        "0044-03-15 01:02:03 BC",
        None,
        "1996-01-02 00:00:00.5",
    ],
    "a_timestamptz": [
        "1996-01-02 03:04:05+02",
        "infinity",
        "0044-03-15 01:02:03+00 BC",
        None,
        "20000-01-01Z",
    ],
    "a_jsonb": ['{"a": 1.10, "b": [1e3]}', "null", '"x"', None, "12345678901234567890.10"],
    "a_json": ['{"a":\n 1.10}', "[]", '"\\n"', None, "\r1"],
    "a_bytea": ["\\x00ff", "\\x", "abc", None, "\\x5c"],
    "some_texts": ['{a,"b,c",NULL}', "{}", '{"=x"}', None, "{{a,b},{c,d}}"],
    "some_numerics": ["{1.10,NaN}", "{}", "{NULL}", None, "{0.00000001}"],
    "some_times": ["{1996-01-02 03:04:05+00,infinity}", "{}", "{}", None, "{NULL}"],
}
TYPES = {
    "id": "bigint",
    "a_numeric": "numeric",
    "a_price": "numeric",
    "a_real": "real",
    "a_double": "double precision",
    "a_boolean": "boolean",
    "a_text": "text",
    "a_char": "char(3)",
    "a_mood": "app.mood",
    "a_uuid": "uuid",
    "a_date": "date",
    "a_time": "time",
    "a_timestamp": "timestamp",
    "a_timestamptz": "timestamptz",
    "a_jsonb": "jsonb",
    "a_json": "json",
    "a_bytea": "bytea",
    "some_texts": "text[]",
    "some_numerics": "numeric[]",
    "some_times": "timestamptz[]",
}
FILTERS = {
    "id": '["any", "range"]',
    "a_numeric": '["any", "range", "null"]',
    "a_real": '["range"]',
    "a_boolean": '["any", "null"]',
    "a_text": '["any", "prefix", "null"]',
    "a_mood": '["any"]',
    "a_uuid": '["any"]',
    "a_date": '["any", "range"]',
    "a_timestamptz": '["any", "range"]',
    "a_jsonb": '["contains", "null"]',
    "some_texts": '["contains"]',
    "some_numerics": '["contains"]',
}


def declare_mixed() -> str:
    lines = ['[mixed]\nsource = "app.mixed"\nkey = ["id"]\none = "mix"\n[mixed.columns]']
    for name, kind in TYPES.items():
        parts = [f'type = "{kind}"', "null = true" if name != "id" else "null = false"]
        parts += [f"filter = {FILTERS[name]}"] if name in FILTERS else []
        parts += ['values = ["sad", "ok", "happy"]'] if name == "a_mood" else []
        parts += ['as = "string"'] if name == "a_price" else []
        lines.append(f"{name} = {{ {', '.join(parts)} }}")
    return "\n".join(lines)


def literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


@pytest.fixture(scope="module")
def shared_trial(server: EmbeddedPostgres, trial_template: str) -> OrdersDatabase:
    return copy_database(server, trial_template, f"trial_{next(numbers)}")


def make_mixed(database: OrdersDatabase) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    database.execute("CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy')")
    database.execute(f"CREATE TABLE app.mixed ({columns}, hidden text, PRIMARY KEY (id))")
    for row in zip(*MIXED.values(), strict=True):
        values = ", ".join(map(literal, row))
        database.execute(f"INSERT INTO app.mixed VALUES ({values}, '{SECRET}')")
    database.execute(f"GRANT SELECT ON app.mixed TO {ROLE}; GRANT USAGE ON TYPE app.mood TO {ROLE}")


@pytest.fixture(scope="module")
def mixed(shared_trial: OrdersDatabase) -> OrdersDatabase:
    """A database with the table, for tests that only read."""
    make_mixed(shared_trial)
    return shared_trial


@pytest.fixture(scope="module")
def client(mixed: OrdersDatabase, open_shared_tables: TablesOpener) -> FlaskClient:
    return open_shared_tables(mixed, declare_mixed()).test_client()


def read(answer: TestResponse) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.data, parse_float=Decimal)


def copy(database: OrdersDatabase, query: str, form: str) -> bytes:
    """What COPY writes in a session of UTC."""
    options = "-c TimeZone=UTC"
    conninfo = database.server.conninfo(database.name)
    statement = f"COPY ({query}) TO STDOUT {form}".encode()
    with psycopg.connect(conninfo, options=options) as session, session.cursor().copy(statement) as rows:
        return b"".join(map(bytes, rows))


SORTS = ["", "&sort=a_text", "&sort=-a_double,a_date", "&sort=a_timestamptz"]


@pytest.mark.parametrize("sort", SORTS)
def test_csv_is_what_copy_writes_of_every_type(mixed: OrdersDatabase, client: FlaskClient, sort: str) -> None:
    order = {
        "": "id",
        SORTS[1]: "a_text, id",
        SORTS[2]: "a_double DESC, a_date, id",
        SORTS[3]: "a_timestamptz, id",
    }
    query = f"SELECT {', '.join(TYPES)} FROM app.mixed ORDER BY {order[sort]}"
    for path in ("pages", "stream"):
        answer = client.get(f"/mixed/{path}?page_size=50{sort}", headers=CSV)
        assert answer.data == copy(mixed, query, "(FORMAT csv, HEADER)")


def test_json_is_what_postgresql_writes_of_every_type_and_the_same_in_each_form(
    mixed: OrdersDatabase, client: FlaskClient
) -> None:
    expected = {}
    query = "SELECT replace(row_to_json(m)::text, '+00:00', 'Z')::json FROM app.mixed AS m ORDER BY id"
    marks = "(FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
    # In a json column line breaks stay as they are.
    whole = copy(mixed, query, marks).replace(b":\n", b":").replace(b"\r", b"").replace(b"\x02", b"")
    for row in (json.loads(line, parse_float=Decimal) for line in whole.splitlines()):
        price = row["a_price"]
        expected[row["id"]] = {**row, "a_price": None if price is None else str(price)}
    lines = client.get("/mixed/stream", headers=NDJSON).data.splitlines()
    by_line = [json.loads(line, parse_float=Decimal) for line in lines]
    listed = read(client.get("/mixed/stream"))["mixed"]
    assert [str(row) for row in by_line] == [str(row) for row in listed]
    assert len(listed) == len(expected)
    for row in listed:
        assert {name: str(value) for name, value in row.items()} == {
            name: str(expected[row["id"]][name]) for name in TYPES
        }
        one = client.get(f"/mixed/{row['id']}")
        assert one.data in lines
        assert read(client.get(f"/mixed?keys={row['id']}"))["mixed"] == [row]


def test_a_column_that_is_not_declared_appears_nowhere(client: FlaskClient) -> None:
    for path in ("/mixed/stream", "/mixed/pages", "/mixed/1", "/mixed?keys=1", "/openapi.json"):
        assert "hidden" not in client.get(path).text
    for query in ("fields=hidden", "sort=hidden", "hidden=1", "hidde=1"):
        answer = client.get(f"/mixed/stream?{query}")
        assert answer.status_code == 422
        assert SECRET not in answer.text
        assert "hidden" not in answer.text.replace(query.split("=")[-1], "").replace(
            "hidden: Unknown", ""
        ).replace('"name":"hidden"', "")


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("id_min=0&id_max=5", "id BETWEEN 0 AND 5"),
        ("id=-3&id=5", "id IN (-3, 5)"),
        ("a_numeric=1.1", "a_numeric = 1.1"),
        ("a_numeric_min=0", "a_numeric >= 0"),
        ("a_numeric_null=true", "a_numeric IS NULL"),
        ("a_numeric_null=false", "a_numeric IS NOT NULL"),
        ("a_real_min=0.1", "a_real >= 0.1"),
        ("a_real_min=1e19", "a_real >= 1e19"),
        ("a_boolean=true", "a_boolean"),
        ("a_boolean=true&a_boolean=false", "a_boolean IS NOT NULL"),
        ("a_text_prefix=%3D1", "a_text LIKE '=1%'"),
        ("a_text_prefix=%25", "false"),
        ("a_text_prefix=_", "false"),
        ("a_mood=sad&a_mood=ok", "a_mood IN ('sad', 'ok')"),
        ("a_uuid=123E4567-E89B-12D3-A456-426614174000", "a_uuid IS NOT NULL"),
        ("a_date_from=1996-01-02", "a_date >= '1996-01-02'"),
        ("a_timestamptz_to=1996-01-02T01:04:05Z", "a_timestamptz <= '1996-01-02T01:04:05Z'"),
        ("a_timestamptz=1996-01-02T03:04:05%2B02:00", "id = -3"),
        ('a_jsonb_contains={"a":1.1}', """a_jsonb @> '{"a":1.1}'"""),
        ("a_jsonb_null=true", "a_jsonb IS NULL"),
        ("some_texts_contains=a", "some_texts @> '{a}'"),
        ("some_texts_contains=a&some_texts_contains=b,c", "id = -3"),
        ("some_texts_contains=%3Dx", "id = 1"),
        ("some_numerics_contains=1.1", "some_numerics @> '{1.1}'"),
    ],
)
def test_a_filter_lets_through_what_its_sql_does(
    mixed: OrdersDatabase, client: FlaskClient, query: str, where: str
) -> None:
    expected = [key for (key,) in mixed.execute(f"SELECT id FROM app.mixed WHERE {where} ORDER BY id")]
    for sort in ("", "&sort=a_double"):
        rows = read(client.get(f"/mixed/stream?{query}{sort}"))["mixed"]
        assert sorted(row["id"] for row in rows) == expected
    assert read(client.get(f"/mixed/count?{query}"))["total_mixed"] == len(expected)
    assert set(read(client.get(f"/mixed/sample?{query}"))["sample_mix_keys"]) == set(expected)


@pytest.mark.parametrize(
    "query",
    [
        "a_mood=angry",
        "a_boolean=1",
        "a_numeric=1e5",
        "a_date_from=1996-02-30",
        "a_timestamptz_from=1996-01-02",
        "a_uuid=1",
        "a_jsonb_contains={",
        'a_jsonb_contains="%5Cu0000"',
        "a_text_prefix=",
        "some_numerics_contains=x",
        "a_numeric_null=maybe",
        "sort=a_jsonb",
        "sort=some_texts",
        "&".join(["a_text=x"] * 51),
    ],
)
def test_what_is_no_value_of_a_filter_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/mixed/stream?{query}").status_code == 422


KEYS = """
[labels]
source = "app.labels"
key = ["label"]
one = "label"
[labels.columns]
label = { type = "text" }
rank = { type = "smallint", null = true, filter = "range" }

[days]
source = "app.days"
key = ["day"]
one = "day"
[days.columns]
day = { type = "date" }

[visits]
source = "app.visits"
key = ["at", "place"]
one = "visit"
[visits.columns]
at = { type = "timestamptz" }
place = { type = "text" }
note = { type = "text", null = true }
"""
LABELS = ["count", "a/b", "a%2Fb", "a,b", "é", "/", "..", ".", "a b", "+", "?", "#x", "pages/1", "c"]

DAYS = ["-infinity", "0044-03-15 BC", "1996-01-02", "10000-01-01", "infinity"]


@pytest.fixture(scope="module")
def keyed(shared_trial: OrdersDatabase, open_shared_tables: TablesOpener) -> FlaskClient:
    shared_trial.execute("CREATE TABLE app.labels (label text PRIMARY KEY, rank smallint)")
    shared_trial.execute(
        "CREATE TABLE app.visits (at timestamptz, place text, note text, PRIMARY KEY (at, place))"
    )
    shared_trial.execute("CREATE TABLE app.days (day date PRIMARY KEY)")
    for day in DAYS:
        shared_trial.execute(f"INSERT INTO app.days VALUES ('{day}')")
    for rank, label in enumerate(LABELS):
        shared_trial.execute(f"INSERT INTO app.labels VALUES ({literal(label)}, {rank % 3})")
        at = f"2026-01-02 03:04:{rank // 2:02}.5+00"
        shared_trial.execute(f"INSERT INTO app.visits VALUES ('{at}', {literal(label)}, 'n{rank}')")
    shared_trial.execute(f"GRANT SELECT ON app.labels, app.visits, app.days TO {ROLE}")
    return open_shared_tables(shared_trial, DECLARED + KEYS).test_client()


WALKED = [
    ("/customers", "customers", "c_custkey"),
    ("/events", "events", "id"),
    ("/lineitems", "lineitems", "l_orderkey"),
    ("/labels", "labels", "label"),
    ("/visits", "visits", "at"),
]


@pytest.mark.parametrize("sorts", [0, 1])
@pytest.mark.parametrize(("path", "name", "first"), WALKED)
def test_walking_by_cursors_shows_every_row_once_there_and_back(
    keyed: FlaskClient, path: str, name: str, first: str, sorts: int
) -> None:
    sort = f"&sort=-{first}" if sorts else ""
    whole = read(keyed.get(f"{path}/pages?page_size=1000{sort}"))[name]
    total = read(keyed.get(f"{path}/count"))[f"total_{name}"]
    assert len(whole) == total
    seen, pages, url = [], [], f"{path}/stream?page_size=7{sort}"
    while url:
        page = read(keyed.get(url))
        seen += page[name]
        pages.append(page[name])
        url = page["links"]["next"]
        if cursor := page["pagination"]["next_cursor"]:
            assert quote(str(cursor), safe="") == str(cursor)
        last = page
    assert seen == whole
    while url := last["links"]["prev"]:
        last = read(keyed.get(url))
        pages.pop()
        if sorts or name != "customers":
            assert last[name] == pages[-1]
    assert last["pagination"]["has_previous"] is False
    numbered = []
    for number in range(1, -(-total // 7) + 1):
        numbered += read(keyed.get(f"{path}/pages?page_size=7&page={number}{sort}"))[name]
    assert numbered == whole


@pytest.mark.parametrize("label", LABELS)
def test_any_text_is_a_key(keyed: FlaskClient, label: str) -> None:
    again = quote(quote(label, safe="").replace("%2C", "%2C"), safe="")
    found = read(keyed.get(f"/labels?keys={again}"))
    assert [row["label"] for row in found["labels"]] == [label]
    assert found["missing"] == []
    if label not in ("count", ".", ".."):
        answer = read(keyed.get(f"/labels/{quote(label, safe='')}"))
        assert answer["label"] == label


def test_any_day_is_a_key(keyed: FlaskClient) -> None:
    assert [row["day"] for row in read(keyed.get("/days/stream"))["days"]] == DAYS
    for day in DAYS:
        assert read(keyed.get(f"/days/{quote(day)}")) == {"day": day}
    assert keyed.get("/days/1996-02-30").status_code == 422


def test_a_composite_key_is_a_segment_a_part(keyed: FlaskClient) -> None:
    for row in read(keyed.get("/visits/stream"))["visits"]:
        at, place = row["at"], quote(row["place"], safe="")
        if row["place"] not in (".", ".."):
            assert read(keyed.get(f"/visits/{quote(at)}/{place}")) == row
        keys = quote(f"{at}/{place}", safe="")
        assert read(keyed.get(f"/visits?keys={keys}"))["visits"] == [row]
    found = read(keyed.get("/lineitems?keys=1/3,7/7,-5/-1,1/3"))
    assert [(row["l_orderkey"], row["l_linenumber"]) for row in found["lineitems"]] == [(1, 3), (-5, -1)]
    assert found["missing"] == ["7/7"]
    unknown = keyed.get("/lineitems/1/99")
    assert unknown.status_code == 404
    assert '"/problems/lineitem-not-found"' in unknown.text
    for path in ("/lineitems/1", "/lineitems/1/2/3"):
        assert keyed.get(path).status_code == 404
    assert keyed.get("/lineitems/1/x").status_code == 422


@pytest.mark.parametrize(("path", "name", "first"), WALKED)
def test_a_sample_has_keys_that_are_there(keyed: FlaskClient, path: str, name: str, first: str) -> None:
    one = name.removesuffix("s")
    keys = read(keyed.get(f"{path}/sample"))[f"sample_{one}_keys"]
    assert len(keys) == len(set(keys)) == 5
    found = read(keyed.get(f"{path}?keys={quote(','.join(map(str, keys)), safe='')}"))
    assert len(found[name]) == 5
    assert found["missing"] == []


def test_an_etag_of_a_row_changes_with_each_column(
    trial_database: OrdersDatabase, open_tables: TablesOpener
) -> None:
    make_mixed(trial_database)
    client = open_tables(trial_database, declare_mixed()).test_client()
    etag = client.get("/mixed/-3").headers["ETag"]
    assert client.get("/mixed/-3", headers={"If-None-Match": etag}).status_code == 304
    trial_database.execute("UPDATE app.mixed SET hidden = 'other' WHERE id = -3")
    assert client.get("/mixed/-3").headers["ETag"] == etag
    for name in list(TYPES)[1:]:
        trial_database.execute(f"UPDATE app.mixed SET {name} = NULL WHERE id = -3")
        changed = client.get("/mixed/-3").headers["ETag"]
        assert changed != etag, name
        etag = changed


def test_numbers_can_be_texts(client: FlaskClient) -> None:
    rows = read(client.get("/mixed/stream?great_integers=text"))["mixed"]
    assert [row["id"] for row in rows] == [-3, 0, 1, 5, "9007199254740993"]
    assert [row["a_price"] for row in rows] == ["1.10", "123456789012345678.90", "0.00", "-5", None]


def test_csv_can_be_read_where_formulas_are_disarmed(client: FlaskClient) -> None:
    answer = client.get("/mixed/stream?quote_formulas=true&fields=a_text,some_texts", headers=CSV)
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert ["'=1+1", "{=x}"] in rows


def test_a_table_that_is_only_read_takes_no_change(keyed: FlaskClient) -> None:
    for method, path in (("PATCH", "/lineitems/1/3"), ("DELETE", "/events/stream"), ("POST", "/events")):
        answer = keyed.open(path, method=method, json={})
        assert answer.status_code == 405
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/customers/stream?", "/customers/pages?page=2&", "/events/stream?"])
def test_no_more_rows_are_read_than_a_page_takes(
    trial_reader: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    read_rows: list[int] = []

    def count(*arguments: Any, **options: Any) -> Any:
        rows = fetch_all(*arguments, **options)
        read_rows.append(len(rows))
        return rows

    monkeypatch.setattr(key_pages, "fetch_all", count)
    monkeypatch.setattr(sort_pages, "fetch_all", count)
    for size in (1, 21, 51):
        for sort in ("", "&sort=-" + ("at" if "events" in path else "c_acctbal")):
            read_rows.clear()
            answer = trial_reader.get(f"{path}page_size={size}{sort}")
            assert answer.status_code == 200
            assert read_rows == [size + 1]
