"""A database whose app has the least that the platform gives it, and a login for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import sql

from lakebase_api.doctor.examination import Examination
from lakebase_api.environment import load_settings
from lakebase_api.lakebase.findings import Check, State
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.settings import Settings
from lakebase_api.sql import overlay_tables
from lakebase_api.table.loading import load_tables
from tests.conftest import PASSWORD, OrdersDatabase, clone_database

# As Lakebase names the role of an app, and so to be quoted everywhere.
APP = "5f2b8c9e-1d34-4c1b-9a53-0f7d6e2a4b18"
PERSON = "ann.o'neil@example.com"
LEAST = """
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT, CREATE ON DATABASE {database} TO {app}, {person};
GRANT USAGE ON SCHEMA public TO {app}, {person};
GRANT SELECT ON public.orders_synced TO {app};
"""


@dataclass
class Shop:
    """The database, and settings that may be changed before logging in."""

    database: OrdersDatabase
    environment: dict[str, str]
    connections: list[psycopg.Connection] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return load_settings(self.environment)

    @property
    def examination(self) -> Examination:
        """Looks at what is declared."""
        return Examination(self.settings, load_tables(self.settings))

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        return self.database.execute(statement)

    def log_in(self, role: str = APP) -> psycopg.Connection:
        """A session of the role, closed after the test."""
        conninfo = self.database.server.conninfo(self.database.name, role, PASSWORD)
        connection = psycopg.connect(conninfo, autocommit=True)
        self.connections.append(connection)
        return connection

    def set_up_for(self, role: str) -> None:
        """Make the tables of status changes as the superuser, and grant them."""
        with psycopg.connect(self.database.server.conninfo(self.database.name), autocommit=True) as owner:
            tables = load_tables(self.settings)
            overlay_tables.set_up(owner, self.settings.status_schema, tables)
            for statement in overlay_tables.grants(self.settings.status_schema, role, tables):
                owner.execute(statement.encode())

    def find_faults(self) -> dict[str, Check]:
        """The failing checks of the app's role by name."""
        found = self.examination.examine(self.log_in())
        return {check.name: check for check in found if check.state is State.FAILED}

    def mend(self, check: Check) -> None:
        """Run what the check says, as whoever may."""
        assert check.sql
        for statement in check.sql:
            self.execute(statement)


@pytest.fixture(scope="session")
def roles(server: EmbeddedPostgres) -> None:
    """The role of the app and that of a person."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        for role in (APP, PERSON):
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(create.format(sql.Identifier(role), sql.Literal(PASSWORD)))


@pytest.fixture
def shop(database: OrdersDatabase, roles: None) -> Iterator[Shop]:
    """A database of the test's own."""
    yield from open_shop(database)


@pytest.fixture(scope="session")
def database_with_changes(server: EmbeddedPostgres, roles: None) -> OrdersDatabase:
    """A database for tests that take a right on the tables of changes and give it back."""
    return clone_database(server, "orders_with_changes")


@pytest.fixture
def made_shop(database_with_changes: OrdersDatabase) -> Iterator[Shop]:
    """A shared database with the tables of changes, every right on them granted."""
    for shop in open_shop(database_with_changes):
        shop.set_up_for(APP)
        yield shop


def open_shop(database: OrdersDatabase) -> Iterator[Shop]:
    """Give the roles the least in that database."""
    names = {"database": database.name, "app": APP, "person": PERSON}
    quoted = {key: sql.Identifier(name) for key, name in names.items()}
    database.execute(sql.SQL(LEAST).format(**quoted).as_string(None))
    shop = Shop(database, {**database.environment, "PGUSER": APP, "PGPASSWORD": PASSWORD, "WAKE_BUDGET": "0"})
    yield shop
    for connection in shop.connections:
        connection.close()
