"""What a local run serves: the declared tables, with TPC-H orders and with made-up rows."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import psycopg

from lakebase_api.local import disk, tpch
from lakebase_api.local.app_role import ROLE, admit_app
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.local.progress import Progress
from lakebase_api.local.sample_tables import drop_other_databases, ensure_tables, name_database
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table
from lakebase_api.table.loading import load_tables
from lakebase_api.table.mistakes import TablesError

ROWS = re.compile(r"[1-9][0-9]{0,7}")


@dataclass(frozen=True)
class LocalData:
    """The declared tables and how much is in them: a scale of TPC-H for its orders, rows of any other."""

    tables: Sequence[Table]
    scale: Decimal
    rows: int

    @cached_property
    def orders(self) -> Table | None:
        """The table that has the orders of TPC-H, if it is declared."""
        return next(filter(tpch.fits, self.tables), None)

    @cached_property
    def made_up(self) -> list[Table]:
        """The tables that have made-up rows."""
        return [table for table in self.tables if table is not self.orders]

    @property
    def database_name(self) -> str:
        """The database that has it all."""
        if not self.made_up:
            return tpch.database_name(self.scale)
        return name_database(self.tables, self.rows, self.scale if self.orders else None)


def load_declared(path: Path) -> Sequence[Table]:
    """The tables of the file. Raises LocalFailure."""
    try:
        return load_tables(Settings(tables_file=str(path)))
    except TablesError as error:
        raise LocalFailure(str(error)) from None


def parse_rows(text: str) -> int:
    """How many rows to make up. Raises LocalFailure."""
    if not ROWS.fullmatch(text):
        raise LocalFailure(f"ROWS must be a whole number from 1 to 99999999, not {text!r}.")
    return int(text)


def prepare_data(server: EmbeddedPostgres, data: LocalData) -> dict[str, str]:
    """Have the data in a database of their own; returns the PG* variables that lead to it.

    Raises LocalFailure.
    """
    name = data.database_name
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            if data.made_up:
                drop_other_databases(connection, name)
            tpch.create_database(connection, name)
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            if data.orders:
                _load_orders(server, connection, data.scale)
            ensure_tables(connection, data.made_up, data.rows)
            password = admit_app(connection, data.tables)
    except psycopg.OperationalError as error:
        raise server.explain(error) from error
    address = {"PGHOST": server.host, "PGPORT": str(server.port), "PGSSLMODE": "disable"}
    return {**address, "PGDATABASE": name, "PGUSER": ROLE, "PGPASSWORD": password}


def _load_orders(server: EmbeddedPostgres, connection: psycopg.Connection, scale: Decimal) -> None:
    if not tpch.has_orders(connection):
        disk.require_space(server.home, tpch.needed_bytes(scale), f"Loading the orders of SF {scale:f}")
    tpch.ensure_orders(connection, scale, Progress(tpch.expected_orders(scale), sys.stdout))
