"""Answers do not depend on what a session would have: of its role, the environment, or a pooler."""

import itertools
import logging
from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase import session
from lakebase_api.lakebase.findings import State
from lakebase_api.local import tpch
from tests.conftest import PASSWORD, ROLE, AppOpener, OrdersDatabase
from tests.lakebase_stand_in import LakebaseStandIn
from tests.startup_relay import fall_silent, listen, refuse, relay_without_options
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

# What changes how values look, what statements mean, or whether they run at all.
OF_A_ROLE = {
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kolkata",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "search_path": "elsewhere, pg_catalog",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "row_security": "off",
    "plan_cache_mode": "force_generic_plan",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "idle_session_timeout": "1",
}
OF_THE_ENVIRONMENT = {
    "PGCLIENTENCODING": "LATIN1",
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Kolkata",
    "PGOPTIONS": "-c DateStyle=German -c extra_float_digits=-15",
    "PGSERVICE": "nowhere",
    "PGSERVICEFILE": "/no/such/file",
    "PGHOSTADDR": "192.0.2.1",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCHANNELBINDING": "require",
    "PGREQUIREAUTH": "none",
    "PGSSLNEGOTIATION": "direct",
    "PGLOADBALANCEHOSTS": "random",
    "PGCONNECT_TIMEOUT": "1",
}
# Else each app seals cursors, which answers hold, in its own way.
SECRET = {"CURSOR_SECRET": "the same for both apps"}
TEXT = "Łódź – 5 €"
SHADOW = """
CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO public;
CREATE FUNCTION elsewhere.left(text, int) RETURNS text LANGUAGE sql AS $$ SELECT 'not it' $$;
ALTER TABLE orders_synced ALTER o_totalprice TYPE double precision;
ALTER TABLE orders_synced ENABLE ROW LEVEL SECURITY;
CREATE POLICY most ON orders_synced USING (o_orderkey <> 2);
"""
READS = (
    "/orders/1",
    "/orders?keys=1,2,3",
    "/orders/stream?page_size=3&sort=o_orderdate",
    "/orders/count?o_clerk=Łukasz",
    "/orders/1/history",
    "/orders/export?format=csv&o_orderdate_to=1992-01-02",
    "/orders/export?format=ndjson&o_orderdate_to=1992-01-02",
)
roles = (f"odd_role_{number}" for number in itertools.count(1))


@pytest.fixture
def told_database(database: OrdersDatabase) -> OrdersDatabase:
    """Orders with a text that Latin-1 has not, prices that are floats, a policy, and a changed status."""
    database.execute(SHADOW)
    database.execute(
        f"UPDATE orders_synced SET o_comment = '{TEXT}', o_totalprice = 0.1 + 0.2 WHERE o_orderkey = 1"
    )
    return database


@pytest.fixture
def odd_role(told_database: OrdersDatabase) -> Iterator[str]:
    """A role with settings of its own."""
    role, name = next(roles), told_database.name
    told_database.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    told_database.execute(f"GRANT {ROLE} TO {role}; GRANT CREATE ON DATABASE {name} TO {role}")
    yield role
    told_database.execute(f"REASSIGN OWNED BY {role} TO {ROLE}; DROP OWNED BY {role}; DROP ROLE {role}")


def show(client: FlaskClient) -> list[tuple[int, str | None, bytes]]:
    """What every kind of read answers, with the ETag of a row: that of a list changes with the audit too."""
    answers = [(path, client.get(path)) for path in READS]
    return [
        (answer.status_code, answer.headers["ETag"] if path == READS[0] else None, bare(answer.text))
        for path, answer in answers
    ]


def bare(text: str) -> bytes:
    """The text without the time of a count."""
    return text.partition('"as_of"')[0].encode()


def find_fault(environment: dict[str, str]) -> str:
    """The one line of doctor's that says what is wrong."""
    [line] = [check.line for check in run_checks(environment) if check.state is State.FAILED]
    return line


def change(app: Flask) -> FlaskClient:
    """A client of the app, which has changed the status of an order."""
    client = app.test_client()
    assert client.post("/orders/1/status", json={"o_orderstatus": "P"}).status_code == 200
    items = [{"o_orderkey": key, "o_orderstatus": "F"} for key in (3, 4)]
    assert client.post("/orders/status", json=items).status_code == 200
    return client


def test_answers_are_the_same_whatever_the_role_has_as_its_own(
    told_database: OrdersDatabase, odd_role: str, open_app: AppOpener
) -> None:
    for name, value in OF_A_ROLE.items():
        shown = ", ".join(f"'{part.strip()}'" for part in value.split(","))
        told_database.execute(f"ALTER ROLE {odd_role} IN DATABASE {told_database.name} SET {name} = {shown}")
    environment = {**told_database.environment, **SECRET}
    expected = show(change(open_app(environment)))
    assert {status for status, *_ in expected} == {200}
    assert TEXT.encode() in expected[0][2]
    assert show(open_app({**environment, "PGUSER": odd_role}).test_client()) == expected


def test_a_role_that_reads_only_by_default_changes_statuses(
    told_database: OrdersDatabase, odd_role: str, open_app: AppOpener
) -> None:
    for name in ("default_transaction_read_only", "array_nulls"):
        value = OF_A_ROLE[name]
        told_database.execute(f"ALTER ROLE {odd_role} SET {name} = {value}")
    change(open_app({**told_database.environment, "PGUSER": odd_role}))


def test_answers_are_the_same_whatever_libpq_would_find_in_the_environment(
    told_database: OrdersDatabase,
    open_app: AppOpener,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment = {**told_database.environment, **SECRET}
    expected = show(change(open_app(environment)))
    for name, value in OF_THE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING, "lakebase_api"):
        assert show(open_app(environment).test_client()) == expected
    [warning] = [message for message in caplog.messages if "not used" in message]
    assert set(OF_THE_ENVIRONMENT) <= set(warning.replace(",", "").split())


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def legacy_database(request: pytest.FixtureRequest, database: OrdersDatabase) -> OrdersDatabase:
    """A database of another encoding, with orders."""
    name = f"{database.name}_{request.param.lower()}"
    with psycopg.connect(database.server.conninfo(), autocommit=True) as connection:
        create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'"
        connection.execute(create.encode())
    legacy = OrdersDatabase(database.server, name)
    legacy.execute(f"{tpch.CREATE_TABLE}; {tpch.ADD_KEY}; GRANT SELECT ON orders_synced TO {ROLE}")
    legacy.execute("INSERT INTO orders_synced (o_orderkey, o_comment) VALUES (1, 'Groesse')")
    return legacy


def test_a_database_that_is_not_utf8_is_refused_in_clear_words(
    legacy_database: OrdersDatabase, open_app: AppOpener, caplog: pytest.LogCaptureFixture
) -> None:
    client = open_app({**legacy_database.environment, "WAKE_BUDGET": "0"}).test_client()
    for path in ("/orders/1", "/orders/stream", "/orders/export?format=csv", "/orders/1/history"):
        assert client.get(path).status_code == 503
    assert "the encoding of the database is not UTF8" in client.get("/readyz?verbose").text
    assert "the encoding of the database is" in caplog.text
    assert "ENCODING 'UTF8'" in find_fault({**legacy_database.environment, "WAKE_BUDGET": "0"})


@pytest.mark.parametrize("how", ["refuses", "ignores"])
def test_a_pooler_is_refused_with_the_right_advice(
    unchanged_database: OrdersDatabase, open_app: AppOpener, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    treatment = (
        refuse("08P01", "unsupported startup parameter: options")
        if how == "refuses"
        else relay_without_options(unchanged_database.server.port)
    )
    with listen(treatment) as port:
        environment = {**unchanged_database.environment, "PGPORT": str(port), "WAKE_BUDGET": "0"}
        app = open_app(environment)
        assert app.test_client().get("/orders/1").status_code == 503
        assert "pooler" in app.test_client().get("/readyz?verbose").text
        fault = find_fault(environment)
    for text in (caplog.text, fault):
        assert "Set PGHOST and PGPORT to those of the database itself, not of its pooler" in text
        assert "again in a few seconds" not in text


@pytest.mark.parametrize(
    ("sqlstate", "text", "asks_password", "said"),
    [
        ("28P01", "Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen", True, "refused the login"),
        ("57P03", "das Datenbanksystem startet", False, "did not let the service in"),
    ],
    ids=["password", "starting"],
)
def test_a_server_of_another_language_is_told_from_a_network_that_fails(
    unchanged_database: OrdersDatabase,
    open_app: AppOpener,
    sqlstate: str,
    text: str,
    asks_password: bool,
    said: str,
) -> None:
    with listen(refuse(sqlstate, text, severity="ФАТАЛЬНО", asks_password=asks_password)) as port:
        environment = {**unchanged_database.environment, "PGPORT": str(port), "WAKE_BUDGET": "0"}
        client = open_app(environment).test_client()
        assert client.get("/orders/1").status_code == 503
        assert said in client.get("/readyz?verbose").text


def test_a_server_that_falls_silent_after_the_login_is_given_up(
    unchanged_database: OrdersDatabase, open_app: AppOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.1)
    with listen(fall_silent) as port:
        environment = {**unchanged_database.environment, "PGPORT": str(port), "WAKE_BUDGET": "0"}
        client = open_app(environment).test_client()
        assert client.get("/orders/1").status_code == 503
        assert "did not answer" in client.get("/readyz?verbose").text
        assert "Correct PGHOST and PGPORT" in find_fault(environment)


def test_a_token_that_is_refused_in_another_language_is_replaced(
    lakebase: LakebaseStandIn, open_app: AppOpener
) -> None:
    text = "la autenticación falló"
    with listen(refuse("28P01", text, severity="FATALE", asks_password=True)) as port:
        environment = {**lakebase.environment(), "PGHOST": "localhost", "PGPORT": str(port)}
        app = open_app({**environment, "PGSSLMODE": "disable", "WAKE_BUDGET": "0"})
        mints = lakebase.workspace.mints
        assert app.test_client().get("/orders/1").status_code == 503
        wait_until(lambda: lakebase.workspace.mints >= mints + 2)
