"""A declared table as it is served, beside what SQL says of it."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import psycopg
from flask.testing import FlaskClient
from psycopg import sql
from werkzeug.test import TestResponse

from lakebase_api.local.sample_tables import create_table, list_schemas, merge_sources
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.values import parse_shown
from tests.conftest import ROLE
from tests.tables.nasty import make_nasty_rows

# A column of each source that is not declared, and what is in it.
UNDECLARED, SECRET = "not_declared", "not-to-be-seen"
TRUTH = "truth"
EVERY_ROW = sql.SQL("true")

Row = dict[str, Any]
Key = tuple[Any, ...]


def create_served_tables(connection: psycopg.Connection, tables: Sequence[Table], seed: int = 0) -> None:
    """Make the tables with nasty rows, and a copy of each that has what should be shown."""
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(TRUTH)))
    for table in merge_sources(tables):
        create_table(connection, table)
        name, role = sql.Identifier(table.schema, table.source), sql.Identifier(ROLE)
        add = sql.SQL("ALTER TABLE {} ADD COLUMN {} text DEFAULT {}")
        connection.execute(add.format(name, sql.Identifier(UNDECLARED), sql.Literal(SECRET)))
        columns = sql.SQL(", ").join(map(sql.Identifier, table.names))
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)
        with connection.cursor().copy(copy) as rows:
            for row in make_nasty_rows(table, seed):
                rows.write_row(row)
        connection.execute(sql.SQL("ANALYZE {}").format(name))
        for schema in list_schemas(table):
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
        connection.execute(sql.SQL("GRANT SELECT, UPDATE ON {} TO {}").format(name, role))
    for table in tables:
        columns = sql.SQL(", ").join(map(sql.Identifier, table.names))
        copy = sql.SQL("CREATE TABLE {} AS SELECT {} FROM {}").format(
            sql.Identifier(TRUTH, table.name), columns, sql.Identifier(table.schema, table.source)
        )
        connection.execute(copy)


def parse_json(text: str) -> Any:
    """The value of strict JSON, its numbers with their digits."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"JSON has no {constant}")

    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)


@dataclass
class Served:
    """A table, a client of an app that serves it, and the superuser's connection."""

    table: Table
    client: FlaskClient
    connection: psycopg.Connection
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def path(self) -> str:
        """Where the table is served."""
        return f"/{self.table.name}"

    @property
    def truth(self) -> sql.Identifier:
        """The table that has what should be shown."""
        return sql.Identifier(TRUTH, self.table.name)

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, accept: str | None = None
    ) -> TestResponse:
        """The answer, which is 200."""
        headers = {"Accept": accept} if accept else {}
        answer = self.client.get(self.path + path, query_string=query or {}, headers=headers)
        assert answer.status_code == 200, (path, query, answer.text)
        assert SECRET not in answer.text
        assert UNDECLARED not in answer.text
        return answer

    def read(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON of the answer."""
        return parse_json(self.get(path, query).text)

    def follow(self, link: str) -> Any:
        """The JSON of what a link of an answer leads to."""
        answer = self.client.get(urlsplit(link)._replace(scheme="", netloc="").geturl())
        assert answer.status_code == 200, (link, answer.text)
        return parse_json(answer.text)

    def rows_of(self, body: Any) -> list[Row]:
        """The rows of a page."""
        rows: list[Row] = body[self.table.name]
        return rows

    def walk(self, query: Mapping[str, Any], page_size: int = 7) -> list[list[Row]]:
        """The pages of a list in turn."""
        pages: list[list[Row]] = []
        cursor: dict[str, Any] = {}
        while True:
            body = self.read("/stream", {**query, "page_size": page_size, **cursor})
            pages.append(self.rows_of(body))
            following = body["pagination"]["next_cursor"]
            assert (body["links"]["next"] is None) == (following is None)
            if following is None:
                return pages
            assert len(pages) < 1000, "it goes round in circles"
            cursor = {"cursor": following}

    def walk_back(self, query: Mapping[str, Any], page_size: int = 7) -> list[list[Row]]:
        """The pages of a list from the last to the first."""
        body = self.read("/stream", {**query, "page_size": page_size})
        while body["links"]["next"]:
            body = self.follow(body["links"]["next"])
        pages = [self.rows_of(body)]
        # The page before the one behind the first key that there can be has no cursor, but a link.
        while body["links"]["prev"]:
            body = self.follow(body["links"]["prev"])
            pages.append(self.rows_of(body))
        return pages

    def expect(self, where: sql.Composable = EVERY_ROW, order: sql.Composable | None = None) -> list[Row]:
        """The rows that should be shown, in JSON as PostgreSQL has it."""
        # Ordered below: a name would be that of the text that is shown in place of the column.
        query = sql.SQL(
            "SELECT replace(row_to_json(r)::text, '+00:00', 'Z')"
            " FROM (SELECT {} FROM (SELECT * FROM {} WHERE {} ORDER BY {}) AS t) AS r"
        ).format(
            sql.SQL(", ").join(map(self._show, self.table.columns)),
            self.truth,
            where,
            order or self.order_by_key(),
        )
        return [parse_json(text) for (text,) in self.connection.execute(query)]

    def copy(self) -> bytes:
        """What one COPY of the rows that should be shown gives as CSV."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.table.names))
        query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)")
        with self.connection.cursor().copy(query.format(columns, self.truth, self.order_by_key())) as rows:
            return b"".join(bytes(row) for row in rows)

    def order_by_key(self, direction: str = "") -> sql.Composable:
        """The order of the keys."""
        return sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(direction)) for name in self.table.key_names
        )

    def key_of(self, row: Row) -> Key:
        """The key of a row."""
        return tuple(row[name] for name in self.table.key_names)

    def spell_parts(self, key: Key) -> list[str]:
        """The parts of a key as the paths of clients have them."""
        return [quote(str(part), safe="") for part in key]

    def spell_path(self, key: Key) -> str:
        """The path of a row below the table's."""
        return "/" + "/".join(self.spell_parts(key))

    def spell_asked(self, key: Key) -> str:
        """A key among several: what would end a part of it is encoded."""
        return "/".join(str(part).replace("%", "%25").replace(",", "%2C").replace("/", "%2F") for part in key)

    def can_ask_for(self, key: Key) -> bool:
        """Whether the key may stand in a path: no index has texts that are longer, none is empty."""
        try:
            for column, part in zip(self.table.key, key, strict=True):
                parse_shown(column.type, str(part))
        except ValueError:
            return False
        # Those are addresses of their own.
        siblings = ("count", "sample", "pages", "stream", "export", "", ".", "..")
        paths = [column.change.path for column in self.table.changeable if column.change]
        return str(key[0]) not in (*siblings, *paths)

    def match(self, key: Key) -> sql.Composable:
        """That a row has the key."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(str(part)))
            for name, part in zip(self.table.key_names, key, strict=True)
        )

    def set(self, table: sql.Identifier, key: Key, name: str, value: str | None) -> None:
        """Have the value in a column of a row of the table."""
        self._set(table, key, name, value, EVERY_ROW)

    def change(self, key: Key, name: str, value: str | None) -> None:
        """Have in a column of a row that should be shown what a change makes of it.

        A value that equals the one there changes nothing: 1.10 stays where 1.1 is asked for.
        """
        is_another = sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier(name), sql.Literal(value))
        self._set(self.truth, key, name, value, is_another)

    def _set(
        self, table: sql.Identifier, key: Key, name: str, value: str | None, where: sql.Composable
    ) -> None:
        statement = sql.SQL("UPDATE {} SET {} = {} WHERE {} AND {}").format(
            table, sql.Identifier(name), sql.Literal(value), self.match(key), where
        )
        assert self.connection.execute(statement).rowcount <= 1

    def restore(self, key: Key, name: str) -> None:
        """Have in a column of a row that should be shown what the source has."""
        source = sql.Identifier(self.table.schema, self.table.source)
        statement = sql.SQL("UPDATE {} SET {} = (SELECT {} FROM {} WHERE {}) WHERE {}").format(
            self.truth, sql.Identifier(name), sql.Identifier(name), source, self.match(key), self.match(key)
        )
        self.connection.execute(statement)

    def expect_row(self, key: Key) -> Row:
        """The row that should be shown."""
        [row] = self.expect(self.match(key))
        return row

    def show(self, column: Column, value: str | None) -> str:
        """The value of the column as JSON has it."""
        cast = sql.SQL("::text") if column.is_text_in_json else sql.SQL("")
        query = sql.SQL("SELECT coalesce(to_json(({}::{}){})::text, 'null')").format(
            sql.Literal(value), sql.SQL(column.type.name), cast
        )
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return str(row[0])

    def _show(self, column: Column) -> sql.Composable:
        name = sql.Identifier(column.name)
        return sql.SQL("{}::text AS {}").format(name, name) if column.is_text_in_json else name
