"""Loading orders: the real generator, a real server."""

import shutil
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from lakebase_api.local import disk, tpch
from lakebase_api.local.app_role import ROLE, admit_app
from lakebase_api.local.data import load_declared
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.local.conftest import FAST, REPOSITORY, SCALE, Prepared

VISIBLE = "SELECT reltuples, relallvisible > 0.9 * relpages FROM pg_class WHERE relname = 'orders_synced'"
STATISTICS = "SELECT count(*) FROM pg_stats WHERE tablename = 'orders_synced'"
HALF_A_LOAD = """#!/bin/sh
echo the,header,is,not,looked,at,by,PostgreSQL,here
echo 1,370,O,172799.49,1996-01-02,5-LOW,Clerk#000000951,0,half
echo 'the pipe is bent' >&2
exit 3
"""


@pytest.fixture
def connection(server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """The superuser's connection to an empty database."""
    with psycopg.connect(server.conninfo(), autocommit=True) as postgres:
        postgres.execute("DROP DATABASE IF EXISTS empty_orders WITH (FORCE)")
        tpch.create_database(postgres, "empty_orders")
    with psycopg.connect(server.conninfo("empty_orders"), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def loaded(server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """The superuser's connection to a database with orders, for tests that leave the others' rows alone."""
    with psycopg.connect(server.conninfo(tpch.database_name(SCALE)), autocommit=True) as connection:
        yield connection


def test_the_table_is_as_the_platform_syncs_it(loaded: psycopg.Connection) -> None:
    columns = loaded.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = 'public.orders_synced'::regclass AND attnum > 0 ORDER BY attnum"
    ).fetchall()
    assert columns == [
        ("o_orderkey", "bigint", True),
        ("o_custkey", "bigint", False),
        ("o_orderstatus", "text", False),
        ("o_totalprice", "numeric(18,2)", False),
        ("o_orderdate", "date", False),
        ("o_orderpriority", "text", False),
        ("o_clerk", "text", False),
        ("o_shippriority", "integer", False),
        ("o_comment", "text", False),
    ]
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'orders_synced'::regclass"
    assert loaded.execute(key).fetchall() == [("PRIMARY KEY (o_orderkey)",)]


def test_the_orders_are_those_of_tpch(loaded: psycopg.Connection) -> None:
    shape = (
        "SELECT count(*), min(o_orderkey), max(o_orderkey), count(DISTINCT o_orderstatus) FROM orders_synced"
    )
    assert loaded.execute(shape).fetchone() == (15_000, 1, 60_000, 3)
    comment = loaded.execute("SELECT o_comment FROM orders_synced WHERE o_orderkey = 1").fetchone()
    assert comment == ("nstructions sleep furiously among ",)


def test_the_planner_knows_the_table_after_loading(loaded: psycopg.Connection) -> None:
    assert loaded.execute(VISIBLE).fetchone() == (15_000, True)
    assert loaded.execute(STATISTICS).fetchone() == (9,)


@pytest.mark.slow
def test_a_load_that_was_cut_off_before_the_vacuum_gets_it_later(connection: psycopg.Connection) -> None:
    with connection.transaction():
        tpch.load_orders(connection, SCALE)
    assert connection.execute(VISIBLE).fetchone() == (15_000, False)
    tpch.ensure_orders(connection, SCALE)
    assert connection.execute(VISIBLE).fetchone() == (15_000, True)


def test_orders_that_are_there_are_not_loaded_again(loaded: psycopg.Connection) -> None:
    loaded.execute("UPDATE orders_synced SET o_custkey = -1 WHERE o_orderkey = 2")
    tpch.ensure_orders(loaded, SCALE, report=lambda rows: pytest.fail("loaded again"))
    row = loaded.execute("SELECT o_custkey FROM orders_synced WHERE o_orderkey = 2").fetchone()
    assert row == (-1,)


def test_the_rows_are_counted_as_they_come(prepared: Prepared) -> None:
    assert prepared.reports == sorted(prepared.reports)
    assert len(prepared.reports) > 2
    assert prepared.reports[-1] == tpch.expected_orders(SCALE) == 15_000


def test_a_generator_that_fails_midway_leaves_nothing(
    connection: psycopg.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = folder / "tpchgen-cli"
    fake.write_text(HALF_A_LOAD)
    fake.chmod(0o755)
    monkeypatch.setattr(tpch, "find_generator", lambda: str(fake))
    with pytest.raises(
        LocalFailure, match=r"tpchgen-cli ended with status 3 \(the pipe is bent\): nothing was loaded"
    ):
        tpch.ensure_orders(connection, SCALE)
    assert not tpch.has_orders(connection)


def test_a_missing_generator_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        LocalFailure, match=r"tpchgen-cli is not installed: pip install -r requirements-dev\.txt"
    ):
        tpch.find_generator()


@pytest.mark.slow
def test_a_disk_that_fills_while_loading_is_recognised_and_nothing_is_left(
    small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakebase_api.local.postgres.BYTES", 0)
    place = small_disk(60)
    with EmbeddedPostgres(place / "server", settings=FAST) as server:
        with (
            pytest.raises(psycopg.OperationalError) as caught,
            psycopg.connect(server.conninfo(), autocommit=True) as connection,
        ):
            tpch.ensure_orders(connection, Decimal("0.2"))
        assert str(server.explain(caught.value)).startswith(f"The disk that holds {server.home} is full (")
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            assert not tpch.has_orders(connection)


def test_the_space_asked_for_is_enough_and_no_more_than_half_too_much(loaded: psycopg.Connection) -> None:
    row = loaded.execute("SELECT pg_total_relation_size('orders_synced')").fetchone()
    assert row is not None
    assert row[0] < tpch.needed_bytes(SCALE) - tpch.BYTES_PER_DATABASE < 1.5 * row[0]


def test_a_disk_with_too_little_left_is_told_what_would_do(folder: Path) -> None:
    with pytest.raises(
        LocalFailure, match=r"Loading needs 320000000010 MB and the disk that holds .* has \d+ MB left"
    ):
        disk.require_space(folder, tpch.needed_bytes(Decimal(1_000_000_000)), "Loading")


@pytest.mark.parametrize(
    ("text", "name"), [("0.1", "tpch_sf0_1"), ("1", "tpch_sf1"), ("10.0", "tpch_sf10"), ("1e2", "tpch_sf100")]
)
def test_each_scale_has_its_own_database(text: str, name: str) -> None:
    assert tpch.database_name(tpch.parse_scale(text)) == name


@pytest.mark.parametrize("text", ["0", "-1", "0.0001", "much", "", "nan", "inf", "1,5"])
def test_what_is_no_scale_is_refused_by_name(text: str) -> None:
    with pytest.raises(LocalFailure, match=f"SF must be a number from 0.001 .*, not '{text}'"):
        tpch.parse_scale(text)


def test_the_role_of_the_api_may_read_and_update_and_make_a_schema_and_nothing_else(
    server: EmbeddedPostgres, loaded: psycopg.Connection
) -> None:
    tables = load_declared(REPOSITORY / "tables.toml")
    admit_app(loaded, tables)
    password = admit_app(loaded, tables)  # a second start gives a new one
    with psycopg.connect(server.conninfo(tpch.database_name(SCALE), ROLE, password), autocommit=True) as app:
        app.execute("UPDATE orders_synced SET o_orderstatus = 'F' WHERE o_orderkey = 1")
        app.execute("CREATE SCHEMA mine")
        for forbidden in ("DELETE FROM orders_synced", "CREATE TABLE public.more ()", "CREATE ROLE more"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden.encode())
    assert password not in server.log_path.read_text()
