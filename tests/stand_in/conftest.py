"""A workspace for each test, and one PostgreSQL that asks a workspace of its own about logins."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.login_rules import replace_hba

from . import Workspace, create_login_role, pg_hba


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server and the workspace it asks."""

    server: EmbeddedPostgres
    workspace: Workspace

    def log_in(self, role: str, password: str) -> psycopg.Connection:
        """A new session on the maintenance database."""
        return psycopg.connect(self.server.conninfo(user=role, password=password), autocommit=True)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A workspace that no database asks."""
    with Workspace() as it:
        yield it


@pytest.fixture(scope="session")
def running_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The server, with a role for each identity."""
    folder = tmp_path_factory.mktemp("postgres")
    with (
        Workspace() as workspace,
        EmbeddedPostgres(folder, settings={"fsync": "off"}, discard=True) as server,
    ):
        with psycopg.connect(server.conninfo()) as admin:
            create_login_role(admin, workspace.user.name)
            create_login_role(admin, workspace.service_principal.name)
        replace_hba(server, pg_hba(workspace))
        yield Database(server, workspace)


@pytest.fixture
def database(running_database: Database) -> Database:
    """The server, its workspace as good as new."""
    running_database.workspace.reset()
    return running_database
