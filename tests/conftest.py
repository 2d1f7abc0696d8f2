"""One PostgreSQL for the session, a fresh database of TPC-H orders and an app on it for each test."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql

from lakebase_api.access.rights_file import load_rights
from lakebase_api.app import create_app, get_service
from lakebase_api.environment import load_settings
from lakebase_api.local import tpch
from lakebase_api.local.api import forget_inherited_settings
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.table.loading import load_tables
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn, start_lakebase
from tests.stand_in import Workspace
from tests.waiting import PATIENT

# Nothing that points at a real database or workspace may reach a test.
forget_inherited_settings()
os.environ["ENV_FILE"] = os.devnull
os.environ["NO_PROXY"] = "127.0.0.1,localhost"

SCALE = Decimal("0.01")
ORDERS = 15_000
TEMPLATE = "orders_template"
ROLE = "orders_app"
PASSWORD = "the-password-of-the-tests"

database_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: those with a time limit of their own, then those that are slow.

    A file is for one process: begun last, it would keep the others waiting.
    """
    ranks = {
        marker: {item.path for item in items if item.get_closest_marker(marker)}
        for marker in ("timeout", "slow")
    }
    items.sort(key=lambda item: [item.path not in paths for paths in ranks.values()])


@dataclass(frozen=True)
class OrdersDatabase:
    """A database with TPC-H orders, and a role with the least rights: to read them, and to make a schema."""

    server: EmbeddedPostgres
    name: str

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead the app to it."""
        return {
            "PGHOST": self.server.host,
            "PGPORT": str(self.server.port),
            "PGDATABASE": self.name,
            "PGUSER": ROLE,
            "PGPASSWORD": PASSWORD,
            "PGSSLMODE": "disable",
            "ENV_FILE": os.devnull,
            "DB_POOL_SIZE": "2",
            "DB_MAX_OVERFLOW": "2",
            **PATIENT,
        }

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the superuser; its rows, if it has any."""
        with psycopg.connect(self.server.conninfo(self.name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server with the template database of orders."""
    # Nothing but the tests may change anything: it would be another state of the database for lists.
    settings = {"fsync": "off", "max_connections": "200", "autovacuum": "off", "scram_iterations": "1"}
    folder = tmp_path_factory.mktemp("server")
    with EmbeddedPostgres(folder, settings=settings, discard=True) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            tpch.create_database(connection, TEMPLATE)
            # As that of the role below, which thousands of connections show too.
            show = sql.SQL("ALTER ROLE {} PASSWORD {}")
            role, password = sql.Identifier(connection.info.user), sql.Literal(server.password)
            connection.execute(show.format(role, password))
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(ROLE), sql.Literal(PASSWORD)
                )
            )
        with psycopg.connect(server.conninfo(TEMPLATE), autocommit=True) as connection:
            tpch.ensure_orders(connection, SCALE)
            grant = sql.SQL("GRANT SELECT ON public.orders_synced TO {}")
            connection.execute(grant.format(sql.Identifier(ROLE)))
        yield server


def clone_database(server: EmbeddedPostgres, name: str) -> OrdersDatabase:
    """A copy of the template, to which nothing else connects."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        # As the platform does for an app that a database is attached to.
        grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}")
        connection.execute(grant.format(sql.Identifier(name), sql.Identifier(ROLE)))
    return OrdersDatabase(server, name)


@pytest.fixture
def database(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database of its own for the test."""
    return clone_database(server, f"orders_{next(database_numbers)}")


@pytest.fixture(scope="session")
def unchanged_database(server: EmbeddedPostgres) -> OrdersDatabase:
    """A database shared by tests that only read."""
    return clone_database(server, "orders_unchanged")


def make_app(environment: dict[str, str]) -> Flask:
    """An app from an environment, not opened, with the tables of the repository."""
    settings = load_settings(environment)
    tables = load_tables(settings)
    return create_app(settings, tables, load_rights(settings, tables))


AppOpener = Callable[[dict[str, str]], Flask]


def open_apps() -> Iterator[AppOpener]:
    """Makes and opens an app from an environment; closed in the end."""
    with ExitStack() as stack:

        def open_one(environment: dict[str, str]) -> Flask:
            app = make_app(environment)
            get_service(app).open()
            stack.callback(get_service(app).close)
            return app

        yield open_one


@pytest.fixture
def open_app() -> Iterator[AppOpener]:
    """Makes and opens an app from an environment; closed after the test."""
    yield from open_apps()


@pytest.fixture(scope="module")
def open_shared_app() -> Iterator[AppOpener]:
    """The same, closed after the module."""
    yield from open_apps()


@pytest.fixture
def client(database: OrdersDatabase, open_app: AppOpener) -> FlaskClient:
    """A client of an app on the test's own database."""
    return open_app(database.environment).test_client()


@pytest.fixture(scope="module")
def reader(unchanged_database: OrdersDatabase, open_shared_app: AppOpener) -> FlaskClient:
    """A client of an app on the shared database, for tests that only read."""
    return open_shared_app(unchanged_database.environment).test_client()


@pytest.fixture
def start_gunicorn() -> Iterator[Callable[[dict[str, str]], GunicornProcess]]:
    """Starts the real server with an environment; ended after the test."""
    with ExitStack() as stack:
        yield lambda environment: stack.enter_context(GunicornProcess(environment))


@pytest.fixture
def stand_in() -> Iterator[Workspace]:
    """A Databricks workspace that the real SDK can talk to."""
    with Workspace() as workspace:
        yield workspace


@pytest.fixture(scope="session")
def lakebase_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakebaseStandIn]:
    """The one stand-in for Lakebase."""
    with start_lakebase(tmp_path_factory.mktemp("lakebase")) as stand_in:
        yield replace(stand_in, settings=PATIENT)


@pytest.fixture
def lakebase(lakebase_of_the_session: LakebaseStandIn) -> LakebaseStandIn:
    """The stand-in for Lakebase, as good as new."""
    lakebase_of_the_session.execute("DROP SCHEMA IF EXISTS lakebase_api CASCADE")
    lakebase_of_the_session.workspace.reset()
    lakebase_of_the_session.proxy.heal()
    return lakebase_of_the_session
