"""Filters of every type choose in an export the rows that they choose in a list."""

import pytest
from flask.testing import FlaskClient

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, AppOpener, clone_database

# By the column: its type, the value of row number n, and its filters.
COLUMNS = {
    "id": ("bigint", "n", "any range"),
    "a_real": ("real", "n / 10.0", "range"),
    "a_double": ("double precision", "n / 10.0", "range"),
    "a_price": ("numeric(18,2)", "n + 0.25", "any range"),
    "a_char": ("char(3)", "'a' || n % 5", "any"),
    "a_text": ("varchar(20)", "'v%' || n", "any prefix null"),
    "a_mood": ("mood", "(ARRAY['sad', 'ok'])[1 + n % 2]::mood", "any"),
    "a_uuid": ("uuid", "lpad(n::text, 32, '0')::uuid", "any"),
    "a_day": ("date", "date '2026-01-01' + n", "any range"),
    "a_time": ("time", "time '00:00' + n * interval '1 minute'", "any range"),
    "a_timestamp": ("timestamp", "timestamp '2026-01-01' + n * interval '1 hour'", "any range"),
    "a_moment": ("timestamptz", "timestamptz '2026-01-01 00:00Z' + n * interval '1 hour'", "any range"),
    "is_even": ("boolean", "n % 2 = 0", "any"),
    "doc": ("jsonb", "jsonb_build_object('n', n % 3)", "contains"),
    "texts": ("text[]", "ARRAY['t' || n % 3, 'x,y']", "contains"),
    "varchars": ("varchar(20)[]", "ARRAY['v' || n % 3]", "contains"),
    "chars": ("char(3)[]", "ARRAY['c' || n % 3]", "contains"),
    "numbers": ("integer[]", "ARRAY[n % 3]", "contains"),
    "prices": ("numeric(18,2)[]", "ARRAY[n % 3 + 0.25]", "contains"),
    "moods": ("mood[]", "ARRAY['sad']::mood[]", "contains"),
    "moments": (
        "timestamptz[]",
        "ARRAY[timestamptz '2026-01-01 00:00Z' + n * interval '1 hour']",
        "contains",
    ),
}
# Of 50 rows.
FOUND = {
    "a_real_min=0.1&a_real_max=0.1": 1,
    "a_double_min=0.1&a_double_max=0.3": 3,
    "a_price=1.25&a_price=2.25": 2,
    "a_char=a1": 10,
    "a_char=a1&a_char=a2": 20,
    "a_text=v%251&a_text=v%252": 2,
    "a_text_prefix=v%251": 11,
    "a_text_null=true": 0,
    "a_mood=sad": 25,
    "a_mood=sad&a_mood=ok": 50,
    "a_uuid=00000000-0000-0000-0000-000000000001": 1,
    "a_day=2026-01-02&a_day=2026-01-03": 2,
    "a_day_from=2026-01-02&a_day_to=2026-01-03": 2,
    "a_time=00:01:00&a_time=00:02:00": 2,
    "a_timestamp_from=2026-01-01T01:00:00&a_timestamp_to=2026-01-01T02:00:00": 2,
    "a_moment_from=2026-01-01T01:00:00Z&a_moment_to=2026-01-01T02:00:00%2B00:00": 2,
    "is_even=true": 25,
    "is_even=true&is_even=false": 50,
    'doc_contains={"n":1}': 17,
    "texts_contains=t1&texts_contains=x,y": 17,
    "varchars_contains=v1": 17,
    "chars_contains=c1": 17,
    "numbers_contains=1": 17,
    "prices_contains=1.25": 17,
    "moods_contains=sad": 50,
    "moments_contains=2026-01-01T01:00:00Z": 1,
}


@pytest.fixture(scope="module")
def declared() -> str:
    lines = ['[things]\nsource = "public.things"\nkey = ["id"]\none = "thing"\n[things.columns]']
    for name, (kind, _, filters) in COLUMNS.items():
        values = ', values = ["sad", "ok"]' if "mood" in kind else ""
        lines.append(f'{name} = {{ type = "{kind}", null = true, filter = {filters.split()}{values} }}')
    return "\n".join(lines).replace('"bigint", null = true', '"bigint"').replace("'", '"')


@pytest.fixture(scope="module")
def things(
    server: EmbeddedPostgres,
    open_shared_app: AppOpener,
    tmp_path_factory: pytest.TempPathFactory,
    declared: str,
) -> FlaskClient:
    database = clone_database(server, "things")
    database.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    columns = ", ".join(f"{name} {kind}" for name, (kind, *_) in COLUMNS.items())
    values = ", ".join(value for _, value, _ in COLUMNS.values())
    database.execute(
        f"CREATE TABLE things ({columns}, PRIMARY KEY (id)); GRANT SELECT ON things TO {ROLE};"
        f"INSERT INTO things SELECT {values} FROM generate_series(1, 50) AS n"
    )
    path = tmp_path_factory.mktemp("things") / "tables.toml"
    path.write_text(declared)
    return open_shared_app({**database.environment, "TABLES_FILE": str(path)}).test_client()


@pytest.mark.parametrize(("query", "expected"), FOUND.items(), ids=FOUND)
def test_a_filter_chooses_the_rows_that_it_chooses_in_a_list(
    things: FlaskClient, query: str, expected: int
) -> None:
    listed = things.get(f"/things/stream?{query}", headers={"Accept": "application/x-ndjson"})
    with things.get(f"/things/export?format=ndjson&trailer=false&{query}") as exported:
        assert (exported.status_code, listed.status_code) == (200, 200)
        assert exported.data == listed.data
    assert listed.data.count(b"\n") == expected
