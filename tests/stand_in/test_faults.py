"""Each fault of the stand-in, as the real SDK sees it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from databricks.sdk.errors import (
    InternalError,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError

from tests.waiting import PATIENCE

from . import Workspace
from .faults import Malformation
from .sdk import mint, sign_in

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
@pytest.mark.parametrize(
    ("status", "error"),
    [(500, InternalError), (403, PermissionDenied), (404, NotFound), (401, Unauthenticated)],
)
def test_errors_at_credentials_reach_the_caller_at_once(
    workspace: Workspace, status: int, error: type[DatabricksError], kind: str
) -> None:
    client = sign_in(workspace, workspace.user)
    workspace.fail("credentials", status)

    with pytest.raises(error):
        mint(client, workspace, kind)
    assert client.current_user.me().user_name == workspace.user.name
    workspace.heal()
    assert mint(client, workspace, kind)
    assert (workspace.events.count("credential_request"), workspace.mints) == (2, 1)


def test_a_429_is_retried_until_the_sdk_s_patience_ends(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user)
    workspace.fail("credentials", 429, retry_after=1)

    with pytest.raises(TimeoutError) as caught:
        mint(client, workspace)
    assert isinstance(caught.value.__cause__, TooManyRequests)


def test_a_429_that_passes_is_not_seen_by_the_caller(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user, retry_timeout=5)
    workspace.fail("credentials", 429, retry_after=0, times=1)

    assert mint(client, workspace)
    assert workspace.events.count("fault") == 1


@pytest.mark.parametrize("status", [500, 403, 429, 404])
def test_errors_of_the_oauth_service_are_value_errors_and_not_retried(
    workspace: Workspace, status: int
) -> None:
    client = sign_in(workspace, workspace.service_principal)
    workspace.fail("oauth", status)

    with pytest.raises(ValueError, match="a fault"):
        mint(client, workspace)
    assert (workspace.oauth_requests, workspace.mints) == (1, 0)
    workspace.heal()
    assert mint(client, workspace)


def test_with_everything_failing_nothing_is_answered_well(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user)
    workspace.fail("everything", 500)

    with pytest.raises(InternalError):
        client.current_user.me()
    with pytest.raises(InternalError):
        client.postgres.get_endpoint(workspace.endpoint)
    with pytest.raises(InternalError):
        mint(client, workspace)


def test_a_credential_request_that_hangs_ends_with_the_sdk_s_patience(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user, http_timeout=0.2)
    workspace.hang("credentials")

    with pytest.raises(TimeoutError) as caught:
        mint(client, workspace)
    assert isinstance(caught.value.__cause__, requests.ReadTimeout)
    assert workspace.mints == 0


def test_an_oauth_request_that_hangs_outlasts_every_time_limit_of_the_sdk(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.service_principal, http_timeout=0.5)
    workspace.hang("oauth", times=1)

    with ThreadPoolExecutor() as executor:
        asked = executor.submit(mint, client, workspace)
        workspace.events.wait_for("hung", 1)
        with pytest.raises(TimeoutError):
            asked.result(timeout=1.2)
        workspace.heal()
        # The SDK takes the connection that is dropped for a passing fault and asks again.
        with pytest.raises(TimeoutError, match="Timed out after"):
            asked.result(PATIENCE)


def test_refused_connections_are_retried_and_the_port_stays_the_same(workspace: Workspace) -> None:
    client, url = sign_in(workspace, workspace.user), workspace.url
    mint(client, workspace)
    workspace.refuse_connections()

    with pytest.raises(TimeoutError) as caught:
        mint(client, workspace)
    assert isinstance(caught.value.__cause__, requests.ConnectionError)
    workspace.heal()
    assert workspace.url == url
    assert mint(client, workspace)


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
def test_html_in_place_of_a_credential_is_a_json_error(workspace: Workspace, kind: str) -> None:
    client = sign_in(workspace, workspace.user)
    workspace.malform("credentials", "html")

    with pytest.raises(requests.JSONDecodeError):
        mint(client, workspace, kind)


@pytest.mark.parametrize(
    ("how", "has_token", "life"),
    [("no_token", False, 3600), ("no_expiry", True, None), ("already_expired", True, -60)],
)
def test_the_sdk_hands_malformed_credentials_on(
    workspace: Workspace, how: Malformation, has_token: bool, life: float | None
) -> None:
    client = sign_in(workspace, workspace.user)
    workspace.malform("credentials", how)

    credential = client.postgres.generate_database_credential(workspace.endpoint)

    stated = credential.expire_time and credential.expire_time.ToSeconds() - time.time()
    assert (credential.token is not None) == has_token
    assert stated == (None if life is None else pytest.approx(life, abs=50))


@pytest.mark.parametrize("how", ["html", "no_token"])
def test_a_malformed_answer_of_the_oauth_service_is_a_not_implemented_error(
    workspace: Workspace, how: Malformation
) -> None:
    client = sign_in(workspace, workspace.service_principal)
    workspace.malform("oauth", how)

    with pytest.raises(NotImplementedError):
        mint(client, workspace)


def test_closing_lets_hung_requests_go_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with Workspace() as workspace, ThreadPoolExecutor() as executor:
        client = sign_in(workspace, workspace.user)
        mint(client, workspace)
        workspace.hang("credentials", times=1)
        url = f"{workspace.url}/api/2.0/postgres/credentials"
        asked = executor.submit(requests.post, url, timeout=PATIENCE)
        workspace.events.wait_for("hung", 1)
        workspace.close()
        assert isinstance(asked.exception(PATIENCE), requests.ConnectionError)

    assert set(threading.enumerate()) == before
