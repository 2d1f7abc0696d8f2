"""Declared tables with made-up rows, in a real PostgreSQL."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from lakebase_api.local import tpch
from lakebase_api.local.data import load_declared
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.local.sample_tables import drop_other_databases, ensure_tables, name_database
from lakebase_api.table.declaration import Table
from tests.local.conftest import REPOSITORY

FOLDER = REPOSITORY / "tests/tables"
ROWS = 300
# Keys, with values, with an enum, with examples, and as few as there are.
SMALL = """
[codes]
source = 'odd."Codes of 1"'
key = ["country", "code"]
one = "code"
[codes.columns]
country = { type = "varchar(2)", values = ["AT", "CH"], example = "CH" }
code = { type = "varchar(1)" }
"a b" = { type = "odd.level", null = true, values = ["low", "high"], example = "high" }
"""
numbers = itertools.count(1)


@pytest.fixture
def connection(server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """The superuser in an empty database."""
    name = f"samples_{next(numbers)}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        tpch.create_database(connection, name)
    with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
        yield connection


def load(path: Path, text: str) -> list[Table]:
    path.write_text(text)
    return list(load_declared(path))


def ask(connection: psycopg.Connection, table: Table, what: str, *names: str) -> tuple[object, ...]:
    """The single row of a query on the table."""
    query = sql.SQL("SELECT " + what + " FROM {}").format(
        *map(sql.Identifier, names), sql.Identifier(table.schema, table.source)
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("file", ["trial.toml", "all_types.toml"])
def test_each_table_has_the_rows_that_its_declaration_lets_expect(
    connection: psycopg.Connection, file: str
) -> None:
    tables = load_declared(FOLDER / file)
    ensure_tables(connection, tables, ROWS)
    for table in tables:
        assert ask(connection, table, "count(*)") == (ROWS,)
        for column in table.columns:
            (nulls,) = ask(connection, table, "count(*) FILTER (WHERE {} IS NULL)", column.name)
            assert bool(nulls) == column.may_be_null, column.name
            if column.values:
                (known,) = ask(connection, table, "array_agg(DISTINCT {}::text)", column.name)
                assert isinstance(known, list)
                assert set(column.values) == {value for value in known if value is not None}


def test_the_same_declaration_has_the_same_rows_and_they_are_made_once(
    connection: psycopg.Connection,
) -> None:
    tables = load_declared(FOLDER / "all_types.toml")
    digest = "md5(string_agg(t::text, '' ORDER BY t::text)) FROM (SELECT * FROM {}) AS t --"

    def look() -> list[tuple[object, ...]]:
        return [
            connection.execute(
                sql.SQL("SELECT " + digest).format(sql.Identifier(table.schema, table.source))
            ).fetchall()[0]
            for table in tables
        ]

    ensure_tables(connection, tables, ROWS)
    first = look()
    ensure_tables(connection, tables, ROWS + 1)
    assert look() == first
    connection.execute("DROP SCHEMA app CASCADE")
    ensure_tables(connection, tables, ROWS)
    assert look() == first


def test_the_first_row_has_the_examples(connection: psycopg.Connection) -> None:
    _, events, lineitems = load_declared(FOLDER / "trial.toml")
    ensure_tables(connection, [events, lineitems], 10)
    row = "ROW({}, {}, {}, {}, {})::text"
    query = f"array_agg({row}) FILTER (WHERE id = '6a0f3f5e-7d0c-4c58-9a4e-1d2f3c4b5a69')"
    expected = (
        '(6a0f3f5e-7d0c-4c58-9a4e-1d2f3c4b5a69,"2026-01-02 03:04:05+00","{""x"": 10, ""kind"": ""click""}",'
        't,"{a,b}")'
    )
    connection.execute("SET timezone = 'UTC'")
    assert ask(connection, events, query, *events.names) == ([expected],)


def test_a_key_of_few_values_has_as_many_rows_as_there_are_keys(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    [codes] = load(tmp_path / "small.toml", SMALL)
    ensure_tables(connection, [codes], ROWS)
    assert ask(connection, codes, "count(*), count(DISTINCT {})", "code") == (72, 36)


def test_an_edited_file_gets_data_of_its_own_and_the_old_ones_go(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    name = name_database(load(path, SMALL), ROWS)
    assert name == name_database(load(path, f"# explained\n{SMALL}"), ROWS)
    edited = name_database(load(path, SMALL.replace('type = "varchar(2)"', 'type = "text"')), ROWS)
    assert len({name, edited, name_database(load(path, SMALL), ROWS + 1)}) == 3
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        for each in (name, edited):
            tpch.create_database(connection, each)
        drop_other_databases(connection, edited)
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^declared_'").fetchall()
    assert rows == [(edited,)]
