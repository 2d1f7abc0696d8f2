"""A whole Lakebase for tests: TLS, and a PostgreSQL that asks the workspace stand-in about each login."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from lakebase_api.local import tpch
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.fault_proxy import FaultProxy
from tests.login_rules import replace_hba
from tests.stand_in import Identity, Workspace, create_login_role, pg_hba

DATABASE = "databricks_postgres"
# What attaching the database to an app grants its role, and what the owner of the table adds.
GRANTS = (
    "GRANT CONNECT, CREATE ON DATABASE databricks_postgres TO {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT ON public.orders_synced TO {role}",
)


@dataclass(frozen=True)
class LakebaseStandIn:
    """One Lakebase of each kind, with TPC-H orders, and its workspace."""

    server: EmbeddedPostgres
    proxy: FaultProxy
    workspace: Workspace
    # What else the app is told.
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self, kind: str = "autoscaling", identity: Identity | None = None) -> dict[str, str]:
        """The settings that lead the app to it; host and user are left to the workspace to say."""
        target = (
            {"LAKEBASE_ENDPOINT": self.workspace.endpoint}
            if kind == "autoscaling"
            else {"DATABRICKS_DATABASE_INSTANCE": self.workspace.instance}
        )
        return {
            **target,
            **self.workspace.environment(identity or self.workspace.service_principal),
            "PGPORT": str(self.proxy.port),
            "ENV_FILE": os.devnull,
            "DB_POOL_SIZE": "2",
            "DB_MAX_OVERFLOW": "6",
            **self.settings,
        }

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the superuser, past the proxy; its rows, if it has any."""
        with psycopg.connect(self.server.conninfo(DATABASE), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def without_server(self) -> Iterator[None]:
        """Stop the server as in a crash, and start it again in the end."""
        self.server.stop("immediate")
        try:
            yield
        finally:
            self.server.start()

    def prepare(self) -> None:
        """Load the orders, create the roles of the identities, and have tokens asked for at login."""
        with psycopg.connect(self.server.conninfo(), autocommit=True) as connection:
            tpch.create_database(connection, DATABASE)
        with psycopg.connect(self.server.conninfo(DATABASE), autocommit=True) as connection:
            tpch.ensure_orders(connection, tpch.SMALLEST_SCALE)
            for identity in (self.workspace.user, self.workspace.service_principal):
                create_login_role(connection, identity.name)
                for grant in GRANTS:
                    connection.execute(sql.SQL(grant).format(role=sql.Identifier(identity.name)))
        replace_hba(self.server, pg_hba(self.workspace))


@contextmanager
def start_lakebase(folder: Path, **settings: str) -> Iterator[LakebaseStandIn]:
    """A stand-in with its server's data in the folder until the end; ``settings`` are PostgreSQL's own."""
    with (
        EmbeddedPostgres(folder, settings={"fsync": "off", **settings}, discard=True) as server,
        FaultProxy(server.port, tls=True) as proxy,
        Workspace(db_host="localhost") as workspace,
    ):
        stand_in = LakebaseStandIn(server, proxy, workspace)
        stand_in.prepare()
        yield stand_in
