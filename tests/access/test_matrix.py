"""Each operation of the OpenAPI document, asked for by callers of every kind."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api import app as composition
from lakebase_api.access.api_keys import make_key
from lakebase_api.access.rights import Audience
from lakebase_api.app import get_service
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation
from lakebase_api.http.resource import serve_operations
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.access.identity_provider import IdentityProvider
from tests.access.keys import bear, create_key, revoke_key
from tests.access.matrix import RIGHTS, TABLES, UNSAFE, Documented, list_operations, name_role, spell_rights
from tests.conftest import clone_database, make_app
from tests.http.unopened import build_app
from tests.orders.changing import assert_problem
from tests.tables import trial

REALM = 'Bearer realm="lakebase-api"'
PROBES = {"/health", "/livez", "/readyz"}
# Paths of what a right on the service itself is for.
OF_SERVICE = {"service:audit": ("/audit", "/usage"), "service:observe": ("/metrics", "/status.json")}
NOT_KNOWN = ["an unknown key", "a key with a typo", "an expired key", "a revoked key", "an expired token"]
NOBODY = "nobody"
# The first of the parts that are no table.
REGISTRATION = "register_me"


@dataclass(frozen=True)
class Matrix:
    """A service of four tables, its operations, and what callers of every kind send."""

    client: FlaskClient
    operations: list[Documented]
    credentials: Mapping[str, dict[str, str]]

    def ask(self, operation: Documented, who: str) -> TestResponse:
        return operation.ask(self.client, self.credentials[who])


@pytest.fixture(scope="module")
def matrix(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "tables.toml").write_text(trial.DECLARED)
    (folder / "rights.toml").write_text(spell_rights())
    database = clone_database(server, "matrix")
    trial.create_trial(database)
    environment = {
        **database.environment,
        # So that there is one more operation; who calls does not depend on what is known.
        "SYNCED_TABLE": "main.shop.orders",
        "TABLES_FILE": str(folder / "tables.toml"),
        "RIGHTS_FILE": str(folder / "rights.toml"),
    }
    names = [NOBODY, *map(name_role, RIGHTS), "expired", "revoked"]
    keys = {name: create_key(environment, name) for name in names}
    revoke_key(environment, "revoked")
    database.execute(
        "UPDATE lakebase_api.api_key SET expires_at = now() - interval '1 second' WHERE name = 'expired'"
    )
    with IdentityProvider() as provider, opened({**environment, **provider.settings}) as app:
        sent = {
            "an unknown key": make_key(),
            "a key with a typo": keys[NOBODY][:-1] + ("x" if keys[NOBODY][-1] != "x" else "y"),
            "an expired key": keys["expired"],
            "a revoked key": keys["revoked"],
            "an expired token": provider.sign(provider.claim(exp=time.time() - 3600)),
            **keys,
        }
        credentials = {who: bear(credential) for who, credential in sent.items()} | {"none": {}}
        client = app.test_client()
        yield Matrix(client, list(list_operations(client)), credentials)


@contextmanager
def opened(environment: dict[str, str]) -> Iterator[Flask]:
    app = make_app(environment)
    get_service(app).open()
    yield app
    get_service(app).close()


def test_the_document_names_what_each_operation_needs_and_how_it_is_refused(matrix: Matrix) -> None:
    named = {operation.right for operation in matrix.operations}
    # Nothing is changed of events and line items.
    kept = {right for right in RIGHTS if right.startswith(("orders", "customers"))}
    assert kept | {"events:read", "events:export", "lineitems:read", "lineitems:export"} <= named
    for operation in matrix.operations:
        security, refusals = operation.described["security"], operation.refusals
        if operation.path in PROBES:
            assert (security, refusals) == ([], set())
        elif operation.path == "/me":
            assert (security, refusals) == ([{"bearer": []}], {"401", "429"})
        else:
            table, _, action = str(operation.right).partition(":")
            places = OF_SERVICE.get(str(operation.right), (f"/{table}",))
            assert operation.path.startswith(places), operation
            assert (action == "change") is (operation.method in UNSAFE), operation
            assert (security, refusals) == ([{"bearer": [operation.right]}], {"401", "403", "429"})


def test_without_a_key_or_token_probes_alone_are_open_and_others_ask_for_one(matrix: Matrix) -> None:
    for operation in matrix.operations:
        answer = matrix.ask(operation, "none")
        if operation.path in PROBES:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, REALM), operation


@pytest.mark.parametrize("who", NOT_KNOWN)
def test_what_is_sent_and_not_accepted_is_told_so_by_every_operation(matrix: Matrix, who: str) -> None:
    for operation in matrix.operations:
        if operation.path in PROBES:
            continue
        answer = matrix.ask(operation, who)
        assert answer.status_code == 401, operation
        told = f'{REALM}, error="invalid_token", error_description="'
        assert answer.headers["WWW-Authenticate"].startswith(told)


@pytest.mark.parametrize("right", [*RIGHTS, None])
def test_a_role_is_let_in_where_the_document_names_its_right_and_nowhere_else(
    matrix: Matrix, right: str | None
) -> None:
    for operation in matrix.operations:
        answer = matrix.ask(operation, NOBODY if right is None else name_role(right))
        if operation.right in (None, right):
            assert answer.status_code not in (401, 403), operation
            assert "WWW-Authenticate" not in answer.headers
        else:
            assert answer.status_code == 403, operation
            lacking = f"You lack the right {operation.right}."
            assert answer.headers["WWW-Authenticate"] == (
                f'{REALM}, error="insufficient_scope", error_description="{lacking}", '
                f'scope="{operation.right}"'
            )


def test_a_refusal_does_not_tell_whether_a_row_is_there(matrix: Matrix) -> None:
    for path in ("/orders/1", "/orders/999999999"):
        answer = matrix.client.get(path, headers=matrix.credentials["events-read"])
        assert assert_problem(answer, 403, "forbidden")["detail"] == "You lack the right orders:read."


def test_the_front_page_leads_to_the_tables_that_its_caller_may_read(matrix: Matrix) -> None:
    for right in (*RIGHTS, None):
        headers = matrix.credentials[NOBODY if right is None else name_role(right)]
        page = matrix.client.get("/", headers=headers).json
        assert page is not None
        linked = {name for name, path in page["links"].items() if path.endswith("/stream")}
        assert linked == {table for table in TABLES if right == f"{table}:read"}


@pytest.mark.parametrize("is_declared", [False, True])
def test_a_route_that_does_not_say_who_may_ask_for_it_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, is_declared: bool
) -> None:
    register_me = getattr(composition, REGISTRATION)
    needs = Audience.EVERYBODY

    def register(app: Flask, document: Document, *others: object) -> None:
        """A route that is not declared, or one for everybody that is not among those."""
        part = Blueprint("throw_away", __name__)
        operation = Operation("GET", "/throw-away", "throw", lambda: app.response_class(), "", needs=needs)
        serve_operations(part, [operation], lambda admitted: admitted)
        app.register_blueprint(part)
        if is_declared:
            document.add_part(part.name, "", [operation])
        register_me(app, document, *others)

    monkeypatch.setattr(composition, REGISTRATION, register)
    with pytest.raises(LookupError, match=r"who may ask for throw_away\.throw"):
        build_app()
