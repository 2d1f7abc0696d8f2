"""The stand-in seen through the real SDK when all is well, and what it tells tests."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from databricks.sdk.core import Config
from databricks.sdk.errors import InvalidParameterValue, NotFound, Unauthenticated
from google.protobuf.duration_pb2 import Duration

from tests.waiting import PATIENCE

from . import Workspace
from .sdk import mint, sign_in

ELSEWHERE = "projects/shop/branches/production/endpoints/elsewhere"


@pytest.mark.parametrize("who", ["user", "service_principal"])
def test_the_sdk_finds_hosts_and_the_caller_s_name(who: str) -> None:
    with Workspace(db_host="db.example", db_read_only_host="ro.db.example") as workspace:
        identity = getattr(workspace, who)
        client = sign_in(workspace, identity)
        status = client.postgres.get_endpoint(workspace.endpoint).status
        instance = client.database.get_database_instance(workspace.instance)

        assert status is not None
        assert status.hosts is not None
        assert (status.hosts.host, status.hosts.read_only_host) == ("db.example", "ro.db.example")
        assert (instance.read_write_dns, instance.read_only_dns) == ("db.example", "ro.db.example")
        assert client.current_user.me().user_name == identity.name


def test_the_sdk_finds_the_service_principal_of_an_app(workspace: Workspace) -> None:
    workspace.apps = {"shop": "5f2b", "bare": None}
    client = sign_in(workspace, workspace.user)

    assert client.apps.get("shop").service_principal_client_id == "5f2b"
    assert client.apps.get("bare").service_principal_client_id is None
    with pytest.raises(NotFound, match="App with name other does not exist"):
        client.apps.get("other")


def test_the_environment_signs_the_sdk_in(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in workspace.environment(workspace.service_principal).items():
        monkeypatch.setenv(name, value)

    assert Config().auth_type == "oauth-m2m"
    assert Config().host == workspace.url


def test_a_service_principal_asks_once_for_many_credentials(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.service_principal)
    for _ in range(3):
        mint(client, workspace)

    assert (workspace.oauth_requests, workspace.mints) == (1, 3)


def test_a_service_principal_asks_again_once_its_workspace_token_has_expired(workspace: Workspace) -> None:
    workspace.oauth_life = 1
    client = sign_in(workspace, workspace.service_principal)
    mint(client, workspace)
    mint(client, workspace)

    assert workspace.oauth_requests == 2


def test_an_expired_workspace_token_is_refused(workspace: Workspace) -> None:
    token = workspace.accounts.issue(workspace.service_principal, "workspace", life=0)
    me = dataclasses.replace(workspace.user, secret=token)

    with pytest.raises(Unauthenticated):
        sign_in(workspace, me).current_user.me()


def test_a_database_token_does_not_sign_in_to_the_workspace(workspace: Workspace) -> None:
    token = mint(sign_in(workspace, workspace.user), workspace)
    me = dataclasses.replace(workspace.user, secret=token)

    with pytest.raises(Unauthenticated):
        sign_in(workspace, me).current_user.me()


@pytest.mark.parametrize("ttl", [299, 3601])
def test_a_life_out_of_range_is_refused(workspace: Workspace, ttl: int) -> None:
    with pytest.raises(InvalidParameterValue):
        mint(sign_in(workspace, workspace.user), workspace, ttl=ttl)
    assert workspace.mints == 0


def test_a_credential_is_said_to_last_as_long_as_was_asked(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user)
    credential = client.postgres.generate_database_credential(workspace.endpoint, ttl=Duration(seconds=600))

    assert credential.expire_time is not None
    assert credential.expire_time.ToSeconds() - time.time() == pytest.approx(600, abs=5)


def test_unknown_endpoints_and_instances_are_not_found(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user)

    with pytest.raises(NotFound):
        client.postgres.get_endpoint(ELSEWHERE)
    with pytest.raises(NotFound):
        client.postgres.generate_database_credential(ELSEWHERE)
    with pytest.raises(NotFound):
        client.database.get_database_instance("elsewhere")
    with pytest.raises(NotFound):
        client.database.generate_database_credential(instance_names=["elsewhere"])


def test_a_wrong_personal_access_token_is_unauthenticated(workspace: Workspace) -> None:
    stranger = dataclasses.replace(workspace.user, secret="dapi0")

    with pytest.raises(Unauthenticated):
        mint(sign_in(workspace, stranger), workspace)
    assert requests.get(f"{workspace.url}/api/2.0/preview/scim/v2/Me", timeout=PATIENCE).status_code == 401


def test_a_wrong_client_secret_is_an_invalid_client(workspace: Workspace) -> None:
    stranger = dataclasses.replace(workspace.service_principal, secret="dose0")

    with pytest.raises(ValueError, match="invalid_client"):
        mint(sign_in(workspace, stranger), workspace)


def test_waiting_for_mints_ends_with_the_mint_or_says_what_was_seen(workspace: Workspace) -> None:
    client = sign_in(workspace, workspace.user)
    with ThreadPoolExecutor() as executor:
        waiting = executor.submit(workspace.wait_for_mints, 2)
        mint(client, workspace)
        assert not waiting.done()
        mint(client, workspace)
        waiting.result(PATIENCE)

    with pytest.raises(TimeoutError, match="'mint': 2"):
        workspace.wait_for_mints(3, timeout=0.01)


def test_every_secret_is_known_and_found_in_text_even_cut_short(workspace: Workspace) -> None:
    principal = workspace.service_principal
    token = mint(sign_in(workspace, principal), workspace)

    assert {workspace.user.secret, principal.secret, token} < set(workspace.issued_tokens)
    assert len(workspace.issued_tokens) == 4  # and the workspace token
    assert workspace.leaked_in(f"password={token[:60]}...") == [token]
    assert workspace.leaked_in("password=eyJhbGciOiJSUzI1NiJ9...") == []
