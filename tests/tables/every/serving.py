"""Serves declared tables from a database that is made for them."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from lakebase_api.app import get_service
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.table.declaration import Table
from tests.conftest import ROLE, OrdersDatabase, make_app
from tests.tables.served import Served, create_served_tables

numbers = itertools.count(1)


@contextmanager
def serve(
    server: EmbeddedPostgres, tables: Sequence[Table], declared: str, seed: int = 0, **more: str
) -> Iterator[dict[str, Served]]:
    """The tables of a declaration by name, with nasty rows, served as long as the context lasts.

    ``more`` is of the environment.
    """
    database = _create_database(server)
    conninfo = server.conninfo(database.name)
    with (
        psycopg.connect(conninfo, autocommit=True, options="-c TimeZone=UTC") as connection,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = Path(folder) / "tables.toml"
        path.write_text(declared)
        create_served_tables(connection, tables, seed)
        # A count is as old as it is; exact ones are what is looked at here.
        environment = {"TABLES_FILE": str(path), "COUNT_TTL": "0", "COUNT_BUDGET": "60"}
        app = make_app({**database.environment, **environment, **more})
        get_service(app).open()
        try:
            client = app.test_client()
            yield {table.name: Served(table, client, connection) for table in tables}
        finally:
            get_service(app).close()


def _create_database(server: EmbeddedPostgres) -> OrdersDatabase:
    name = f"served_{next(numbers)}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}")
        connection.execute(grant.format(sql.Identifier(name), sql.Identifier(ROLE)))
    return OrdersDatabase(server, name)
