"""The real SDK, over HTTP, on the stand-in for the control plane."""

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from databricks.sdk import WorkspaceClient

from lakebase_api.environment import load_settings
from lakebase_api.lakebase import workspace as workspace_module
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.service import build_replica_target, build_target
from lakebase_api.lakebase.workspace import Workspace
from tests.stand_in import Workspace as StandIn
from tests.waiting import PATIENCE, wait_until

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
    assert credential.expires_at - time.monotonic() > 3600 - PATIENCE


@pytest.mark.parametrize("kind", KINDS)
def test_host_and_user_are_found(stand_in: StandIn, kind: str) -> None:
    workspace = connect(stand_in, kind)
    assert workspace.find_host() == stand_in.db_host
    assert workspace.find_user() == stand_in.user.name


def test_the_host_of_replicas_is_that_for_reading(stand_in: StandIn) -> None:
    stand_in.db_read_only_host = "ro.db.example"
    settings = load_settings(
        {
            "LAKEBASE_ENDPOINT": stand_in.endpoint,
            "LAKEBASE_READ_ENDPOINT": stand_in.endpoint,
            **stand_in.environment(stand_in.user),
        }
    )
    target, holder = build_target(settings)
    replica, own = build_replica_target(settings.for_replica(), settings, holder)
    assert replica.connect_arguments()["host"] == "ro.db.example"
    assert target.connect_arguments()["host"] == stand_in.db_host
    # One endpoint, one token.
    assert own is None
    assert replica.connect_arguments()["password"] == target.connect_arguments()["password"]


def test_another_endpoint_has_tokens_of_its_own(stand_in: StandIn) -> None:
    settings = load_settings(
        {
            "LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/primary",
            "LAKEBASE_READ_ENDPOINT": stand_in.endpoint,
            **stand_in.environment(stand_in.user),
        }
    )
    _, holder = build_target(settings)
    replica, own = build_replica_target(settings.for_replica(), settings, holder)
    assert own is not None
    assert replica.connect_arguments()["password"] == own.token()
    assert own.token() in stand_in.issued_tokens


def test_where_no_thread_can_be_started_the_next_call_may_succeed(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workspace = connect(stand_in)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CredentialError, match="can't start new thread"):
            workspace.mint()
    assert workspace.mint().token in stand_in.issued_tokens


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


def test_a_mistake_in_asking_is_an_error_with_a_traceback_in_the_log(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(WorkspaceClient, "current_user")
    with pytest.raises(CredentialError, match="the current user: AttributeError: "):
        connect(stand_in).find_user()
    assert "Asking for the current user went wrong" in caplog.text
    assert "Traceback" in caplog.text


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ahead", [-7200.0, -3601, 3590, 3601, 86400])
def test_a_token_lives_as_long_as_it_does_whatever_the_two_clocks_say(
    stand_in: StandIn, kind: str, ahead: float
) -> None:
    stand_in.clock_ahead = ahead
    stand_in.token_life = 1000.0
    before = time.monotonic()
    credential = connect(stand_in, kind).mint()
    assert before + 998 < credential.expires_at < time.monotonic() + 1000


CallsUnderWay = Callable[[], int]


@pytest.fixture
def calls_under_way() -> CallsUnderWay:
    """Tells how many calls of this test have not ended."""
    before = set(threading.enumerate())

    def count() -> int:
        return sum(thread.name == "workspace-call" for thread in set(threading.enumerate()) - before)

    return count


def sockets_to(stand_in: StandIn) -> list[object]:
    """The sockets of this process that lead to the workspace; a closed one that lingers is not a file."""
    port = int(stand_in.url.rpartition(":")[2])
    sockets = psutil.Process().net_connections()
    return [each for each in sockets if each.raddr and each.raddr.port == port and each.fd != -1]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["discovery", "oauth", "credentials"])
def test_a_workspace_that_hangs_for_long_leaves_no_thread_and_no_socket(
    stand_in: StandIn, part: str, calls_under_way: CallsUnderWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 0.1)
    monkeypatch.setattr(workspace_module, "HTTP_TIMEOUT", 0.2)
    workspace = connect(stand_in, identity="service_principal")
    stand_in.hang(part)  # type: ignore[arg-type]
    for _ in range(12):
        with pytest.raises(CredentialError):
            workspace.mint()
        assert calls_under_way() <= workspace_module.MOST_HUNG
    stand_in.events.wait_for("hung", 2)
    wait_until(lambda: not calls_under_way())
    gc.collect()
    assert len(sockets_to(stand_in)) <= 1


def test_calls_that_never_end_are_few_and_said(
    stand_in: StandIn, calls_under_way: CallsUnderWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 0.05)
    workspace = connect(stand_in)
    stand_in.hang("everything")
    for _ in range(workspace_module.MOST_HUNG):
        with pytest.raises(CredentialError, match="no answer within"):
            workspace.mint()
    with pytest.raises(CredentialError, match="4 calls before this one have not ended"):
        workspace.mint()
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 3.5)
    stand_in.heal()
    wait_until(lambda: not calls_under_way())
    assert workspace.mint().is_live()


def test_who_is_no_longer_known_to_the_workspace_logs_in_anew(stand_in: StandIn) -> None:
    workspace = connect(stand_in, identity="service_principal")
    workspace.mint()
    stand_in.fail("credentials", 401, times=1)
    with pytest.raises(CredentialError):
        workspace.mint()
    assert workspace.mint().is_live()
    assert stand_in.oauth_requests == 2


@pytest.mark.parametrize("status", [400, 403, 500])
def test_an_error_says_which_workspace_it_is_of(stand_in: StandIn, status: int) -> None:
    stand_in.fail("credentials", status)
    with pytest.raises(CredentialError, match=stand_in.url):
        connect(stand_in).mint()


def as_copied(url: str) -> list[str]:
    """How the URL of a workspace comes out of a browser, a table or a chat."""
    host = url.removeprefix("http://")
    return [
        f"{url}/",
        f"{url}/?o=123",
        f"{url}/login.html?o=123",
        f"{url}/browse/folders/1?o=123#job/list",
        f"{url}#job/list",
        f'"{url}"',
        f"'{url}/'",
        f"<{url}>",
        f" {url}\r\n",
        f"HTTP://{host}",
    ]


def test_the_url_of_the_workspace_may_be_copied_from_a_browser(stand_in: StandIn) -> None:
    for host in as_copied(stand_in.url):
        environment = {**stand_in.environment(stand_in.user), "DATABRICKS_HOST": host}
        settings = load_settings({**environment, "LAKEBASE_ENDPOINT": stand_in.endpoint})
        assert Workspace(settings).mint().is_live(), host


@pytest.mark.parametrize("identity", IDENTITIES)
def test_so_may_that_of_a_profile(
    stand_in: StandIn, identity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings({"LAKEBASE_ENDPOINT": stand_in.endpoint})
    login = getattr(stand_in, identity).sdk_arguments()
    for host in as_copied(stand_in.url):
        (tmp_path / "cfg").write_text(
            "[shop]\n" + "".join(f"{name} = {value}\n" for name, value in {**login, "host": host}.items())
        )
        monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "cfg"))
        monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "shop")
        assert Workspace(settings).mint().is_live(), host


def test_a_profile_without_a_usable_host_is_said_with_the_host(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = stand_in.user.sdk_arguments()["token"]
    (tmp_path / "cfg").write_text(f"[shop]\nhost = https://my workspace\ntoken = {token}\n")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "cfg"))
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "shop")
    with pytest.raises(CredentialError, match="https://my workspace"):
        Workspace(load_settings({"LAKEBASE_ENDPOINT": stand_in.endpoint})).mint()
