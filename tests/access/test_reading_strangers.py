"""Strangers who may read: what they are given, and what they are told where they may not."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.access.keys import bear, create_key
from tests.access.matrix import UNSAFE, list_operations
from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import assert_problem

REALM = 'Bearer realm="lakebase-api"'
NO_RIGHTS = '[roles]\nreader = ["orders:history"]\n'


@pytest.fixture
def connect(database: OrdersDatabase, open_app: AppOpener, tmp_path: Path) -> Any:
    """Makes a client of an app that strangers may read, with more settings."""
    environment = {**database.environment, "ANONYMOUS": "read"}
    return lambda **settings: open_app({**environment, **settings}).test_client()


def test_they_may_read_and_nothing_else_and_the_document_says_so(connect: Any) -> None:
    client: FlaskClient = connect()
    for operation in list_operations(client):
        may_read = operation.right in (None, "orders:read")
        security = operation.described["security"]
        assert (security == [] or {} in security) is may_read, operation
        answer = operation.ask(client)
        if may_read:
            assert answer.status_code not in (401, 403), operation
        else:
            is_of_service = str(operation.right).startswith("service:")
            is_more = operation.path.endswith(("/export", "/history")) or is_of_service
            assert operation.method in UNSAFE or is_more
            # They sent nothing that was wrong: they are to say who they are.
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, REALM), operation


def test_with_a_key_they_may_do_what_they_were_asked_for_one_for(
    connect: Any, database: OrdersDatabase
) -> None:
    key = bear(create_key(database.environment))
    client: FlaskClient = connect()
    said = assert_problem(client.get("/orders/1/history"), 401, "unauthenticated")["detail"]
    assert said.startswith("Who is not known lacks the right orders:history. Send an API key")
    assert client.get("/orders/1/history", headers=key).status_code == 200


def test_where_the_proxy_alone_says_who_calls_there_is_nothing_to_send(connect: Any) -> None:
    client: FlaskClient = connect(TRUST_FORWARDED_IDENTITY="true")
    answer = client.get("/orders/1/history")
    assert_problem(answer, 403, "forbidden")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert client.get("/orders/1").status_code == 200


def test_roles_are_not_theirs_and_take_nothing_from_them(
    connect: Any, database: OrdersDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "rights.toml"
    path.write_text(f'{NO_RIGHTS}[callers]\n"*" = "reader"\n')
    key = bear(create_key(database.environment))
    client: FlaskClient = connect(RIGHTS_FILE=str(path))
    assert client.get("/orders/1").status_code == 200
    assert client.get("/orders/1/history").status_code == 401
    assert client.get("/orders/1", headers=key).status_code == 403
    assert client.get("/orders/1/history", headers=key).status_code == 200
