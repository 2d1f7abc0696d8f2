"""What the cases work with: one PostgreSQL with the orders, and the services running on it."""

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import psycopg
import requests

from benchmarks.comparison import Measurement
from benchmarks.services import PATIENCE, Running, start, used_cpu
from benchmarks.wrk import run_wrk, write_script
from lakebase_api.local import tpch
from lakebase_api.local.api import forget_inherited_settings
from lakebase_api.local.data import LocalData, load_declared, prepare_data
from lakebase_api.local.postgres import PID_FILE, EmbeddedPostgres, read_lines

# Not that of `make run`, whose orders nobody may change but its user.
FOLDER = Path(".local/bench")
# The table fits into memory, as it does on a database of a sensible size; no maintenance begins in the middle
# of a measurement; and nobody waits for the disk of this machine, which is not what is compared.
SERVER_SETTINGS = {
    "shared_buffers": "512MB",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "synchronous_commit": "off",
    "max_connections": "300",
}
TABLE = {"DEFAULT_POSTGRES_SCHEMA": "public", "DEFAULT_POSTGRES_TABLE": "orders_synced"}
# More than are asked for in a run.
KEYS = "SELECT o_orderkey FROM public.orders_synced ORDER BY random() LIMIT 20000"

CHANGES = 100_000
MAKE_CHANGES = """
INSERT INTO lakebase_api.orders_changes
    (o_orderkey, _source, _version, o_orderstatus, _changed_o_orderstatus, _synced_o_orderstatus)
SELECT o_orderkey, '"public"."orders_synced"', 1, translate(o_orderstatus, 'FOP', 'OPF'), true, o_orderstatus
FROM public.orders_synced
ORDER BY random() LIMIT greatest(0, %s - (SELECT count(*) FROM lakebase_api.orders_changes))
ON CONFLICT DO NOTHING
"""


@dataclass
class Workbench:
    """The database, the keys of some orders, and the services started so far.

    ``conninfo`` is the superuser's. ``seconds`` is how long load is put on a service.
    """

    database: Mapping[str, str]
    conninfo: str
    postgres_pid: int
    keys: Sequence[int]
    folder: Path
    services: ExitStack
    seconds: float
    _running: dict[str, Running] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def get(self, name: str) -> Running:
        """The service, started if it was not asked for before."""
        if name not in self._running:
            self._running[name] = self.services.enter_context(self.start(name))
        return self._running[name]

    def start(self, name: str) -> AbstractContextManager[Running]:
        """A fresh process of the service, for as long as the context lasts."""
        return start(name, self.database, self.folder)

    def put_load(
        self,
        service: Running,
        paths: Sequence[str],
        *,
        connections: int,
        bodies: Sequence[str] = (),
        refused: bool = False,
    ) -> Measurement:
        """Ask for the paths in turn; ``refused`` says that no answer may be a success."""
        script = write_script(self.folder / "load.lua", paths, bodies)
        cpu, database_cpu = service.used_cpu(), used_cpu(self.postgres_pid)
        seen = run_wrk(service.url, script, connections=connections, seconds=self.seconds)
        cpu, database_cpu = service.used_cpu() - cpu, used_cpu(self.postgres_pid) - database_cpu
        wrong = seen.requests - seen.refused if refused else seen.refused
        answered = max(seen.requests, 1)
        return Measurement(
            rate=seen.requests / seen.seconds,
            p50=seen.p50,
            p99=seen.p99,
            cpu=cpu / answered,
            database_cpu=database_cpu / answered,
            memory=service.memory(),
            failures=seen.broken + wrong + (not seen.requests),
        )

    def next_number(self) -> int:
        """Another number at each call."""
        return next(self._numbers)


@contextmanager
def open_workbench(scale: Decimal, seconds: float) -> Iterator[Workbench]:
    """A workbench with the orders of a TPC-H scale factor; its data is kept for the next time."""
    binaries = os.environ.get("POSTGRES_BIN_DIR")
    forget_inherited_settings()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(
            FOLDER, settings=SERVER_SETTINGS, binaries=Path(binaries) if binaries else None
        ) as server,
        ExitStack() as services,
    ):
        data = LocalData(load_declared(Path("tables.toml")), scale, rows=1)
        database = {**prepare_data(server, data), **TABLE}
        conninfo = server.conninfo(tpch.database_name(scale))
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) public.orders_synced")
            keys = [key for (key,) in connection.execute(KEYS)]
            bench = Workbench(
                database=database,
                conninfo=conninfo,
                postgres_pid=int(read_lines(server.data / PID_FILE)[0]),
                keys=keys,
                folder=Path(folder),
                services=services,
                seconds=seconds,
            )
            make_changes(connection, bench.get("product"), keys[0])
            connection.execute("CHECKPOINT")
        yield bench


def make_changes(connection: psycopg.Connection, product: Running, key: int) -> None:
    """Have as many orders changed as the service is measured with. The first change makes the tables."""
    body = {"o_orderstatus": "P"}
    requests.post(f"{product.url}/orders/{key}/status", json=body, timeout=PATIENCE).raise_for_status()
    connection.execute(MAKE_CHANGES, [CHANGES])
    connection.execute("VACUUM (ANALYZE) lakebase_api.orders_changes")
