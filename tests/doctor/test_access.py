"""What the doctor says of how callers are known."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakebase_api.doctor.report import run_checks
from lakebase_api.lakebase.findings import Check, State
from tests.access.identity_provider import IdentityProvider
from tests.access.keys import create_key, rotate_key
from tests.conftest import OrdersDatabase


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """An identity provider."""
    with IdentityProvider() as provider:
        yield provider


def examine(environment: dict[str, str], **settings: str) -> dict[str, Check]:
    """The checks by their names."""
    return {check.name: check for check in run_checks({**environment, **settings})}


def test_that_nobody_is_let_in_is_said_with_what_to_set(unchanged_database: OrdersDatabase) -> None:
    access = examine(unchanged_database.environment, BIND="0.0.0.0:8000")["access"]
    assert access.state is State.FAILED
    for way in ("ANONYMOUS", "JWT_ISSUER", "API_KEYS_FILE", "TRUST_FORWARDED_IDENTITY", "RIGHTS_FILE"):
        assert way in access.mend


def test_how_callers_are_known_is_said(
    unchanged_database: OrdersDatabase, provider: IdentityProvider
) -> None:
    environment = unchanged_database.environment
    assert "this machine alone" in examine(environment)["access"].says
    checks = examine(environment, ANONYMOUS="read", **provider.settings)
    assert checks["access"].says == "tokens of JWT_ISSUER, API keys, ANONYMOUS=read"
    assert checks["identity_provider"].says == "2 keys"
    checks = examine(environment, DATABRICKS_APP_NAME="orders")
    assert checks["access"].says == "the proxy in front says who calls"
    assert "api_keys" not in checks


def test_a_provider_that_gives_no_keys_or_others_is_told(
    unchanged_database: OrdersDatabase, provider: IdentityProvider
) -> None:
    settings = {**unchanged_database.environment, **provider.settings}
    assert examine(settings, JWT_ALGORITHMS="EdDSA")["identity_provider"].state is State.FAILED
    provider.status = 500
    check = examine(settings)["identity_provider"]
    assert (check.state, check.says) == (State.FAILED, "its keys cannot be had: ValueError: it answers 500")


def test_keys_that_end_soon_are_told_unless_another_took_their_place(database: OrdersDatabase) -> None:
    environment = database.environment
    assert "there are none" in examine(environment)["api_keys"].says
    create_key(environment, "till", days=90)
    rotate_key(environment, "till")
    assert examine(environment)["api_keys"].says == "2 that are accepted"
    create_key(environment, "shop", days=3)
    check = examine(environment)["api_keys"]
    assert (check.state, check.says) == (State.ADVICE, "3 that are accepted; soon no longer: shop")


def test_a_table_of_keys_that_cannot_be_read_is_told_with_the_grant(database: OrdersDatabase) -> None:
    create_key(database.environment)
    database.execute("ALTER TABLE lakebase_api.api_key OWNER TO postgres")
    check = examine(database.environment)["api_keys"]
    assert check.state is State.FAILED
    for statement in check.sql:
        database.execute(statement)
    assert examine(database.environment)["api_keys"].state is State.OK


def test_wrong_lines_of_a_file_of_keys_are_told(unchanged_database: OrdersDatabase, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("nonsense\n")
    check = examine(unchanged_database.environment, API_KEYS_FILE=str(file))["api_keys"]
    assert check.state is State.FAILED
    assert check.says.endswith("line 1: is not id:digest:name")
