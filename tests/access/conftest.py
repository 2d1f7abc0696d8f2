"""An identity provider for each test, and a service that believes it."""

from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

from tests.access.identity_provider import IdentityProvider
from tests.access.keys import bear
from tests.conftest import AppOpener, OrdersDatabase


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """An identity provider."""
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture
def present(
    unchanged_database: OrdersDatabase, open_app: AppOpener, provider: IdentityProvider
) -> Callable[[str], tuple[int, str]]:
    """Asks a service that believes the provider with a token: the status, and why it was refused."""
    client: FlaskClient = open_app({**unchanged_database.environment, **provider.settings}).test_client()

    def ask(token: str) -> tuple[int, str]:
        answer = client.get("/orders/1", headers=bear(token))
        return answer.status_code, str((answer.json or {}).get("detail", ""))

    return ask
