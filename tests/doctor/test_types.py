"""What doctor accepts as a declared type, and what each statement does, for every type that there is."""

import pytest
from psycopg import errors, sql

from lakebase_api.doctor.examination import Examination
from lakebase_api.lakebase.findings import State
from lakebase_api.lakebase.setup_faults import SETUP_FAULTS
from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import BUILT_IN, Type, find_type
from tests.doctor.conftest import APP, Shop

WITHOUT_ARRAYS = ("json", "jsonb")
DECLARED = [
    *BUILT_IN,
    *(f"{name}[]" for name in BUILT_IN if name not in WITHOUT_ARRAYS),
    "mood",
    "public.mood",
    'more."Mood"',
    "mood[]",
    'more."Mood"[]',
]
OTHERS = """
CREATE SCHEMA more;
CREATE TYPE mood AS ENUM ('calm', 'sour');
CREATE TYPE more.mood AS ENUM ('calm', 'sour');
CREATE TYPE more."Mood" AS ENUM ('calm', 'sour');
CREATE TYPE pair AS (a integer, b text);
CREATE DOMAIN words AS text;
CREATE DOMAIN number AS integer CHECK (VALUE > 0);
CREATE DOMAIN small_number AS number CHECK (VALUE < 10);
CREATE DOMAIN amount AS numeric(18, 2);
CREATE DOMAIN mine AS mood;
CREATE DOMAIN day AS date;
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN lines AS text[];
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS
    'BEGIN EXECUTE statement; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END';
"""
# Of values: without rows of system tables, and what PostgreSQL keeps for itself, of which no column is made.
FIND_TYPES = """
SELECT format_type(oid, NULL) FROM pg_type
WHERE typtype <> 'p' AND typname NOT LIKE 'pg\\_%' AND typname NOT IN ('int2vector', 'oidvector', '_try')
    AND (typtype <> 'c' OR typname = 'pair') AND typnamespace <> 'information_schema'::regnamespace
    AND NOT EXISTS (
        SELECT FROM pg_type AS element WHERE element.typarray = pg_type.oid
        AND (element.typtype = 'c' OR element.typname LIKE 'pg\\_%' OR element.typtype = 'p'
            OR element.typname IN ('int2vector', 'oidvector')
            OR element.typnamespace = 'information_schema'::regnamespace)
    )
"""
TRY = (
    "SELECT try(statement) FROM unnest({}::text[]) WITH ORDINALITY AS tried(statement, place) ORDER BY place"
)


@pytest.fixture
def types(shop: Shop) -> list[str]:
    """All types, of each of which there is a column in the table "every": c0, c1, …"""
    shop.execute(OTHERS)
    types = [str(name) for (name,) in shop.execute(FIND_TYPES)]
    columns = "".join(f", c{number} {name}" for number, name in enumerate(types))
    shop.execute(
        f'CREATE TABLE every (id bigint PRIMARY KEY{columns}); GRANT SELECT ON every TO "{APP}";'
        f'GRANT USAGE ON SCHEMA more TO "{APP}"'
    )
    return types


def declare(kind: Type, numbers: range) -> Table:
    columns = (Column("id", BUILT_IN["bigint"]), *(Column(f"c{number}", kind) for number in numbers))
    return Table("every", "one", "public", "every", columns, ("id",))


def test_what_doctor_accepts_is_what_each_statement_accepts(shop: Shop, types: list[str]) -> None:
    session = shop.log_in()
    session.execute("SET search_path = pg_catalog, public")
    states = set()
    for name in DECLARED:
        kind = find_type(name, is_enum="ood" in name)
        checks = Examination(shop.settings, [declare(kind, range(len(types)))]).examine(session)
        [check] = [check for check in checks if check.name == "columns"]
        assert check.state is State.FAILED
        refused = {part.split()[0] for part in check.says.split(", ")}
        statements = [
            sql.SQL("SELECT WHERE {}")
            .format(Source(declare(kind, range(number, number + 1))).as_declared())
            .as_string(None)
            for number in range(len(types))
        ]
        tried = [state for (state,) in session.execute(sql.SQL(TRY).format(sql.Literal(statements)))]
        states |= {state for state in tried if state}
        answers = {types[number]: state is None for number, state in enumerate(tried)}
        assert answers == {types[number]: f"c{number}" not in refused for number in range(len(types))}, name
        assert any(answers.values()), name
    # Each is taken for what it is, and none for a fault of the program.
    assert all(issubclass(errors.lookup(state), SETUP_FAULTS) for state in states)


def test_a_type_serves_as_itself_and_below_a_domain(shop: Shop, types: list[str]) -> None:
    for actual, declared in {
        "mood": "public.mood",
        "mine": "mood",
        'more."Mood"': 'more."Mood"',
        "words": "text",
        "words[]": "text[]",
        "lines": "text[]",
        "small_number": "integer",
        "amount": "numeric",
        "document": "jsonb",
    }.items():
        number = types.index(actual)
        table = declare(find_type(declared, is_enum="ood" in declared), range(number, number + 1))
        checks = Examination(shop.settings, [table]).examine(shop.log_in())
        [said] = [check.says for check in checks if check.name == "columns"]
        assert said == "the 2 that are declared", actual


def test_a_type_in_a_schema_that_the_role_may_not_use_is_granted_by_the_sql_that_is_printed(
    shop: Shop, types: list[str]
) -> None:
    number = types.index('more."Mood"')
    table = declare(find_type('more."Mood"', is_enum=True), range(number, number + 1))
    shop.execute(f'REVOKE USAGE ON SCHEMA more FROM "{APP}"')
    statement = sql.SQL("SELECT WHERE {}").format(Source(table).as_declared())
    with pytest.raises(errors.InsufficientPrivilege):
        shop.log_in().execute(statement)
    checks = Examination(shop.settings, [table]).examine(shop.log_in())
    [check] = [check for check in checks if check.name == "columns"]
    shop.mend(check)
    shop.log_in().execute(statement)


def test_a_whole_number_that_is_declared_narrower_than_it_is_is_told(shop: Shop, types: list[str]) -> None:
    for actual, declared in {"bigint": "integer", "numeric": "bigint", "integer[]": "smallint[]"}.items():
        number = types.index(actual)
        table = declare(find_type(declared), range(number, number + 1))
        checks = Examination(shop.settings, [table]).examine(shop.log_in())
        [check] = [check for check in checks if check.name == "columns"]
        assert check.state is State.ADVICE
        assert check.says.startswith(f"c{number} is {actual}, declared as {declared}: ")
