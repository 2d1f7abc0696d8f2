"""Two real servers: one that takes changes, and a replica that follows it by streaming replication."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from lakebase_api.local import tpch
from lakebase_api.local.binaries import find_binaries, usable_binaries
from lakebase_api.local.cluster import HBA, write_hba
from lakebase_api.local.data_folder import choose_home
from lakebase_api.local.os_user import unprivileged_account
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import PASSWORD, ROLE, SCALE, TEMPLATE, OrdersDatabase
from tests.waiting import wait_until

SETTINGS = {
    "fsync": "off",
    "max_connections": "100",
    "autovacuum": "off",
    "wal_level": "replica",
    "max_wal_senders": "4",
    # Of a replica: how soon it looks again for what it has not got.
    "wal_retrieve_retry_interval": "100ms",
}
REPLICATION = "host replication all 127.0.0.1/32 scram-sha-256"


@dataclass(frozen=True)
class Pair:
    """A database of orders on the primary, and the replica that follows it."""

    database: OrdersDatabase
    standby: EmbeddedPostgres

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead the app to both."""
        replica = {"PGHOST_READ": self.standby.host, "PGPORT_READ": str(self.standby.port)}
        return {**self.database.environment, **replica}

    def ask_standby(self, statement: str) -> object:
        """The one value that a statement gives on the replica."""
        with psycopg.connect(self.standby.conninfo(self.database.name), autocommit=True) as connection:
            [(value,)] = connection.execute(statement.encode()).fetchall()
            return value

    def is_so(self, condition: str) -> bool:
        """Whether a condition is true on the replica."""
        return self.ask_standby(f"SELECT {condition}") is True

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the replica."""
        before = self.ask_standby(f"SHOW {name}")
        with psycopg.connect(self.standby.conninfo(), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.ask_standby(f"SHOW {name}") != before)

    def pause(self) -> None:
        """Have the replica stand still."""
        self.ask_standby("SELECT pg_wal_replay_pause()::text")
        wait_until(lambda: self.is_so("pg_get_wal_replay_pause_state() = 'paused'"))

    def go_on(self) -> None:
        """Have the replica follow again."""
        self.ask_standby("SELECT pg_wal_replay_resume()::text")

    def catch_up(self) -> None:
        """Wait until the replica shows all that there is."""
        [(end,)] = self.database.execute("SELECT pg_current_wal_flush_lsn()")
        wait_until(lambda: self.is_so(f"pg_last_wal_replay_lsn() >= '{end}'"))


@contextmanager
def start_pair(folder: Path) -> Iterator[Pair]:
    """Start both in folders below this one; they end, and their data is gone, with the context."""
    with EmbeddedPostgres(folder / "primary", settings=SETTINGS, discard=True) as primary:
        write_hba(primary.data, [*HBA, REPLICATION])
        with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
            tpch.create_database(connection, TEMPLATE)
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(create.format(sql.Identifier(ROLE), sql.Literal(PASSWORD)))
            grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}")
            connection.execute(grant.format(sql.Identifier(TEMPLATE), sql.Identifier(ROLE)))
        with psycopg.connect(primary.conninfo(TEMPLATE), autocommit=True) as connection:
            tpch.ensure_orders(connection, SCALE)
            grant = sql.SQL("GRANT SELECT ON public.orders_synced TO {}")
            connection.execute(grant.format(sql.Identifier(ROLE)))
        copy_cluster(primary, folder / "standby")
        with EmbeddedPostgres(folder / "standby", settings=SETTINGS, discard=True) as standby:
            pair = Pair(OrdersDatabase(primary, TEMPLATE), standby)
            pair.catch_up()
            yield pair


def copy_cluster(primary: EmbeddedPostgres, folder: Path) -> None:
    """Make the data of a replica, where a server that is started on the folder has it."""
    account = unprivileged_account()
    home = choose_home(folder, account)
    binaries = usable_binaries(find_binaries(None), account, home)
    data = home / primary.data.name
    subprocess.run(
        [
            str(binaries.folder / "pg_basebackup"),
            f"--dbname={primary.conninfo()}",
            f"--pgdata={data}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ],
        check=True,
        env={**os.environ, "PGPASSWORD": primary.password},
    )
    shutil.copy(primary.home / "password", home / "password")
    if account is not None:
        for path in (home / "password", data, *data.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
