"""The real SDK, over HTTP, on the stand-in for the control plane."""

import time

import pytest

from lakebase_api.environment import load_settings
from lakebase_api.lakebase import workspace as workspace_module
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.workspace import Workspace
from tests.stand_in import Workspace as StandIn

KINDS = ["autoscaling", "provisioned"]
IDENTITIES = ["user", "service_principal"]


def connect(stand_in: StandIn, kind: str = "autoscaling", identity: str = "user") -> Workspace:
    target = (
        {"LAKEBASE_ENDPOINT": stand_in.endpoint}
        if kind == "autoscaling"
        else {"DATABRICKS_DATABASE_INSTANCE": stand_in.instance}
    )
    return Workspace(load_settings({**target, **stand_in.environment(getattr(stand_in, identity))}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_credential_comes_with_the_life_it_states(stand_in: StandIn, kind: str, identity: str) -> None:
    stand_in.token_life = 1000.0
    before = time.monotonic()
    credential = connect(stand_in, kind, identity).mint()
    assert credential.token in stand_in.issued_tokens
    assert before + 998 < credential.expires_at < time.monotonic() + 1001


def test_the_longest_life_is_asked_for(stand_in: StandIn) -> None:
    credential = connect(stand_in).mint()
    assert credential.expires_at - time.monotonic() > 3590


@pytest.mark.parametrize("kind", KINDS)
def test_host_and_user_are_found(stand_in: StandIn, kind: str) -> None:
    workspace = connect(stand_in, kind)
    assert workspace.find_host() == stand_in.db_host
    assert workspace.find_user() == stand_in.user.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_an_error_that_says_why(stand_in: StandIn, kind: str, status: int) -> None:
    stand_in.fail("credentials", status)
    with pytest.raises(CredentialError, match="a database credential: "):
        connect(stand_in, kind).mint()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["no_token", "no_expiry", "already_expired", "html"])
def test_a_malformed_answer_is_an_error_without_the_token(stand_in: StandIn, kind: str, how: str) -> None:
    stand_in.malform("credentials", how)  # type: ignore[arg-type]
    with pytest.raises(CredentialError) as caught:
        connect(stand_in, kind).mint()
    assert not stand_in.leaked_in(str(caught.value))


def test_a_workspace_that_cannot_be_reached_is_an_error(stand_in: StandIn) -> None:
    workspace = connect(stand_in)
    stand_in.refuse_connections()
    with pytest.raises(CredentialError):
        workspace.mint()
    stand_in.heal()
    assert workspace.mint().is_live()


@pytest.mark.parametrize("part", ["oauth", "credentials"])
def test_a_call_that_hangs_ends_at_its_deadline_and_the_next_one_works(
    stand_in: StandIn, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 0.5)
    workspace = connect(stand_in, identity="service_principal")
    stand_in.hang(part, times=1)  # type: ignore[arg-type]
    with pytest.raises(CredentialError, match="no answer within"):
        workspace.mint()
    assert workspace.mint().is_live()
