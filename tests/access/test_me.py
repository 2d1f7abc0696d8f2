"""What callers are told of themselves."""

from pathlib import Path
from typing import Any

import pytest

from tests.access.identity_provider import IdentityProvider
from tests.access.keys import bear, create_key
from tests.conftest import AppOpener, OrdersDatabase

EVERYTHING = [
    "orders:read",
    "orders:export",
    "orders:change",
    "orders:history",
    "service:observe",
    "service:audit",
]
RIGHTS = """
[roles]
reader = ["orders:read"]
writer = ["orders:read", "orders:change"]
[callers]
"key:ann" = "writer"
"claim:group=sales" = "writer"
"7930@7474" = "writer"
"*" = "reader"
"""
WRITER = {"roles": ["reader", "writer"], "rights": ["orders:read", "orders:change"]}
READER = {"roles": ["reader"], "rights": ["orders:read"]}


@pytest.fixture
def connect(database: OrdersDatabase, open_app: AppOpener, tmp_path: Path) -> Any:
    """Makes a client of an app with more settings, by default with a file of rights."""
    path = tmp_path / "rights.toml"
    path.write_text(RIGHTS)
    environment = {**database.environment, "RIGHTS_FILE": str(path)}
    return lambda **settings: open_app({**environment, **settings}).test_client()


def tell(client: Any, **headers: str) -> dict[str, Any]:
    answer = client.get("/me", headers=headers)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    told: dict[str, Any] = answer.json
    return told


def test_of_a_key_it_is_the_name(connect: Any, database: OrdersDatabase) -> None:
    ann, bob = (create_key(database.environment, name) for name in ("ann", "bob"))
    client = connect()
    assert tell(client, **bear(ann)) == {"subject": "key:ann", "label": "ann", "method": "api-key", **WRITER}
    assert tell(client, **bear(bob)) == {"subject": "key:bob", "label": "bob", "method": "api-key", **READER}


def test_of_a_token_it_is_the_subject_with_the_roles_of_its_claims(
    connect: Any, provider: IdentityProvider
) -> None:
    client = connect(**provider.settings, JWT_ROLES_CLAIM="scope")
    for claims, expected in (
        ({}, READER),
        ({"group": "sales"}, WRITER),
        ({"scope": "writer root"}, WRITER),
    ):
        told = tell(client, **bear(provider.sign(provider.claim(**claims))))
        assert told == {"subject": "ada", "label": "ada", "method": "jwt", **expected}


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"TRUST_FORWARDED_IDENTITY": "true"}, "proxy"),
        ({"DATABRICKS_APP_NAME": "orders", "DATABRICKS_APP_PORT": "8000"}, "databricks-apps"),
    ],
)
def test_behind_a_proxy_it_is_whom_it_names_and_an_address_is_a_label_alone(
    connect: Any, settings: dict[str, str], method: str
) -> None:
    named = {"X-Forwarded-User": "7930@7474", "X-Forwarded-Email": "ada@example.com"}
    told = tell(connect(**settings), **named)
    assert told == {"subject": "7930@7474", "label": "ada@example.com", "method": method, **WRITER}
    other = {**named, "X-Forwarded-User": "1@2", "X-Forwarded-Preferred-Username": "7930@7474"}
    assert tell(connect(**settings), **other)["rights"] == READER["rights"]


def test_on_this_machine_with_nothing_set_it_is_local_and_may_do_everything(connect: Any) -> None:
    told = tell(connect(RIGHTS_FILE=""))
    assert told == {
        "subject": "local",
        "label": "local",
        "method": "local",
        "roles": [],
        "rights": EVERYTHING,
    }


@pytest.mark.parametrize(("may", "rights"), [("read", ["orders:read"]), ("all", EVERYTHING)])
def test_strangers_are_anonymous_and_have_no_roles(connect: Any, may: str, rights: list[str]) -> None:
    told = tell(connect(ANONYMOUS=may))
    assert told == {
        "subject": "anonymous",
        "label": "anonymous",
        "method": "anonymous",
        "roles": [],
        "rights": rights,
    }


def test_where_strangers_are_not_let_in_they_are_told_nothing(connect: Any) -> None:
    assert connect().get("/me").status_code == 401


def test_it_takes_no_parameters(connect: Any) -> None:
    assert connect(ANONYMOUS="read").get("/me?subject=ann").status_code == 422
