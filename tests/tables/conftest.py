"""Fixtures for declared tables: databases that have them, and apps that serve them."""

import itertools
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql

from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, AppOpener, OrdersDatabase, clone_database
from tests.tables import trial

TRIAL_TEMPLATE = "trial_template"
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def trial_template(server: EmbeddedPostgres) -> str:
    """The name of a database with orders and the tables of the trial, to copy."""
    trial.create_trial(clone_database(server, TRIAL_TEMPLATE))
    return TRIAL_TEMPLATE


def copy_database(server: EmbeddedPostgres, template: str, name: str) -> OrdersDatabase:
    """A copy of a database that nothing is connected to, in which the role may make schemas."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}")
        connection.execute(grant.format(sql.Identifier(name), sql.Identifier(ROLE)))
    return OrdersDatabase(server, name)


@pytest.fixture
def trial_database(server: EmbeddedPostgres, trial_template: str) -> OrdersDatabase:
    """Orders and the tables of the trial, in a database of the test's own."""
    return copy_database(server, trial_template, f"trial_{next(numbers)}")


@pytest.fixture(scope="session")
def unchanged_trial(server: EmbeddedPostgres, trial_template: str) -> OrdersDatabase:
    """The same, shared by tests that only read."""
    return copy_database(server, trial_template, "trial_unchanged")


TablesOpener = Callable[..., Flask]


@pytest.fixture
def open_tables(open_app: AppOpener, tmp_path: Path) -> TablesOpener:
    """Opens an app that serves the tables of a text: open_tables(database, declared, NAME=value…)."""
    return build_opener(open_app, tmp_path)


@pytest.fixture(scope="module")
def open_shared_tables(open_shared_app: AppOpener, tmp_path_factory: pytest.TempPathFactory) -> TablesOpener:
    """The same, of an app for all tests of the module."""
    return build_opener(open_shared_app, tmp_path_factory.mktemp("tables"))


def build_opener(open_app: AppOpener, folder: Path) -> TablesOpener:
    """Opens apps whose declarations are written into the folder."""

    def open_one(database: OrdersDatabase, declared: str = trial.DECLARED, **environment: str) -> Flask:
        path = folder / f"tables_{next(numbers)}.toml"
        path.write_text(declared)
        return open_app({**database.environment, "TABLES_FILE": str(path), **environment})

    return open_one


@pytest.fixture
def trial_client(trial_database: OrdersDatabase, open_tables: TablesOpener) -> FlaskClient:
    """A client of an app that serves orders and the tables of the trial, in a database of its own."""
    return open_tables(trial_database).test_client()


@pytest.fixture(scope="module")
def trial_reader(unchanged_trial: OrdersDatabase, open_shared_tables: TablesOpener) -> FlaskClient:
    """A client of such an app on the shared database, for tests that only read."""
    return open_shared_tables(unchanged_trial).test_client()
