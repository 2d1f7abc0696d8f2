"""Real TPC-H orders, made by tpchgen-cli and copied into PostgreSQL: all of them or none."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from lakebase_api.local.failure import LocalFailure
from lakebase_api.table.declaration import Table

ORDERS_PER_SCALE = 1_500_000
SMALLEST_SCALE = Decimal("0.001")
GENERATOR = "tpchgen-cli"
CHUNK = 1 << 16  # bytes, what a pipe holds; larger ones were no faster
# Measured at SF 1 and 4: 285 MB a unit at the peak (table 219, key 34, sorting the key 30); and some more.
BYTES_PER_SCALE = 320_000_000
BYTES_PER_DATABASE = 10_000_000

# As the platform syncs it: types of samples.tpch.orders, and only the key is not null.
CREATE_TABLE = """
CREATE TABLE public.orders_synced (
    o_orderkey bigint NOT NULL,
    o_custkey bigint,
    o_orderstatus text,
    o_totalprice numeric(18,2),
    o_orderdate date,
    o_orderpriority text,
    o_clerk text,
    o_shippriority integer,
    o_comment text
)
"""
KEY = "o_orderkey"
COLUMNS = frozenset(re.findall(r"\bo_[a-z]+", CREATE_TABLE))
COPY = "COPY public.orders_synced FROM STDIN (FORMAT csv, HEADER)"
ADD_KEY = "ALTER TABLE public.orders_synced ADD PRIMARY KEY (o_orderkey)"
VACUUM = "VACUUM (ANALYZE) public.orders_synced"
EXISTS = "SELECT to_regclass('public.orders_synced') IS NOT NULL"
# Statistics are the last thing VACUUM (ANALYZE) writes. reltuples would not do: making the key sets it.
IS_ANALYZED = "SELECT EXISTS (SELECT FROM pg_statistic WHERE starelid = to_regclass('public.orders_synced'))"
DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"

Report = Callable[[int], None]


def fits(table: Table) -> bool:
    """Whether the orders of TPC-H are what the table declares."""
    return table.name == "orders" and table.key_names == (KEY,) and set(table.names) <= COLUMNS


def parse_scale(text: str) -> Decimal:
    """A TPC-H scale factor: 1 is 1,500,000 orders. Raises LocalFailure for what is not one."""
    try:
        scale = Decimal(text)
    except InvalidOperation:
        scale = Decimal("NaN")
    if not scale.is_finite() or scale < SMALLEST_SCALE:
        raise LocalFailure(
            f"SF must be a number from {SMALLEST_SCALE} (1 is 1,500,000 orders), not {text!r}."
        )
    return scale.normalize()


def expected_orders(scale: Decimal) -> int:
    """How many orders a scale factor has."""
    return int(scale * ORDERS_PER_SCALE)


def database_name(scale: Decimal) -> str:
    """The database of a scale factor: tpch_sf0_1 for 0.1."""
    return f"tpch_sf{scale.normalize():f}".replace(".", "_")


def create_database(connection: psycopg.Connection, name: str) -> None:
    """Make the database if it is not there. `connection` is to another one, in autocommit mode."""
    row = connection.execute(DATABASE_EXISTS, [name]).fetchone()
    if row != (True,):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def needed_bytes(scale: Decimal) -> int:
    """The disk space loading a scale factor takes."""
    return BYTES_PER_DATABASE + int(scale * BYTES_PER_SCALE)


def has_orders(connection: psycopg.Connection) -> bool:
    """Whether the orders are loaded, which means all of them."""
    return connection.execute(EXISTS).fetchone() == (True,)


def ensure_orders(connection: psycopg.Connection, scale: Decimal, report: Report | None = None) -> None:
    """Load the orders unless they are there. `connection` is in autocommit mode.

    Raises LocalFailure when the generator fails, psycopg.errors.DiskFull when the disk is too small. A load
    that was cut off, wherever, is made up for by the next call.
    """
    if not has_orders(connection):
        with connection.transaction():
            load_orders(connection, scale, report)
    if connection.execute(IS_ANALYZED).fetchone() != (True,):
        connection.execute(VACUUM)


def load_orders(connection: psycopg.Connection, scale: Decimal, report: Report | None = None) -> int:
    """Make public.orders_synced with the orders of a scale, in the caller's transaction; returns how many.

    `report` is called with the number of rows read so far. Raises LocalFailure when the generator fails.
    """
    connection.execute(CREATE_TABLE)
    # The generator's end is seen before COPY's: a failure inside the block makes the server drop the rows.
    with connection.cursor() as cursor, cursor.copy(COPY) as copy, generate_orders(scale) as output:
        rows = -1  # the header
        while chunk := output.read(CHUNK):
            copy.write(chunk)
            rows += chunk.count(b"\n")  # no value holds one
            if report is not None:
                report(rows)
    connection.execute(ADD_KEY)
    return rows


@contextmanager
def generate_orders(scale: Decimal) -> Iterator[IO[bytes]]:
    """The orders as CSV with a header line. Raises LocalFailure on leaving if the generator failed."""
    command = [find_generator(), "csv", "-s", f"{scale:f}", "-T", "orders", "--stdout", "-q"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as generator,
    ):
        assert generator.stdout is not None
        try:
            yield generator.stdout
        except BaseException:
            generator.kill()
            raise
        if generator.wait() != 0:
            errors.seek(0)
            words = " ".join(errors.read().decode(errors="replace").split()) or "no message"
            raise LocalFailure(
                f"{GENERATOR} ended with status {generator.returncode} ({words}): nothing was loaded."
            )


def find_generator() -> str:
    """tpchgen-cli beside this Python, else on PATH. Raises LocalFailure."""
    beside = Path(sys.executable).parent / GENERATOR  # not resolved: a venv's python is a link out of it
    found = str(beside) if beside.exists() else shutil.which(GENERATOR)
    if found is None:
        raise LocalFailure(f"{GENERATOR} is not installed: pip install -r requirements-dev.txt.")
    return found
