"""Tokens from the stand-in as passwords at a real PostgreSQL."""

import socket
import time
from types import SimpleNamespace

import psycopg
import pytest

from tests.waiting import PATIENCE

from . import accounts
from .conftest import Database
from .sdk import mint, sign_in

REFUSED = "authentication failed"


def pass_seconds(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tokens be so much older."""
    monkeypatch.setattr(accounts, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + seconds))


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
@pytest.mark.parametrize("who", ["user", "service_principal"])
def test_a_token_minted_with_the_sdk_logs_its_owner_in(database: Database, who: str, kind: str) -> None:
    identity = getattr(database.workspace, who)
    token = mint(sign_in(database.workspace, identity), database.workspace, kind)

    with database.log_in(identity.name, token) as session:
        assert session.execute("SELECT current_user").fetchone() == (identity.name,)

    assert (database.workspace.mints, database.workspace.logins_accepted) == (1, 1)


def test_an_expired_token_is_refused_while_the_session_it_opened_lives_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = database.workspace
    workspace.token_life = 1800
    token = mint(sign_in(workspace, workspace.user), workspace)

    with database.log_in(workspace.user.name, token) as session:
        pass_seconds(1800, monkeypatch)
        with pytest.raises(psycopg.OperationalError, match=REFUSED):
            database.log_in(workspace.user.name, token)
        assert session.execute("SELECT 1").fetchone() == (1,)

    assert (workspace.logins_accepted, workspace.logins_refused) == (1, 1)


def test_several_tokens_are_good_at_once_each_until_its_own_expiry(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = database.workspace
    client = sign_in(workspace, workspace.service_principal)
    workspace.token_life = 1800
    short = mint(client, workspace)
    workspace.token_life = 3600
    long = mint(client, workspace)

    for token in (short, long):
        database.log_in(workspace.service_principal.name, token).close()
    pass_seconds(1800, monkeypatch)

    database.log_in(workspace.service_principal.name, long).close()
    with pytest.raises(psycopg.OperationalError, match=REFUSED):
        database.log_in(workspace.service_principal.name, short)


def test_nobody_logs_in_with_the_token_of_another(database: Database) -> None:
    workspace = database.workspace
    token = mint(sign_in(workspace, workspace.user), workspace)

    with pytest.raises(psycopg.OperationalError, match=REFUSED):
        database.log_in(workspace.service_principal.name, token)


@pytest.mark.parametrize("who", ["user", "service_principal"])
def test_what_signs_in_to_the_workspace_is_no_database_password(database: Database, who: str) -> None:
    identity = getattr(database.workspace, who)
    headers = sign_in(database.workspace, identity).config.authenticate()
    bearer = headers["Authorization"].removeprefix("Bearer ")

    for password in (bearer, identity.secret):
        with pytest.raises(psycopg.OperationalError, match=REFUSED):
            database.log_in(identity.name, password)


def test_a_revoked_token_is_refused_and_the_next_one_accepted(database: Database) -> None:
    workspace = database.workspace
    client = sign_in(workspace, workspace.user)
    token = mint(client, workspace)
    workspace.revoke_all()

    with pytest.raises(psycopg.OperationalError, match=REFUSED):
        database.log_in(workspace.user.name, token)
    database.log_in(workspace.user.name, mint(client, workspace)).close()


def test_the_stated_life_does_not_make_a_token_last_longer(database: Database) -> None:
    workspace = database.workspace
    workspace.token_life, workspace.stated_life = 0, 1800
    client = sign_in(workspace, workspace.user)
    credential = client.postgres.generate_database_credential(workspace.endpoint)

    assert credential.expire_time is not None
    assert credential.expire_time.ToSeconds() - time.time() == pytest.approx(1800, abs=PATIENCE)
    with pytest.raises(psycopg.OperationalError, match=REFUSED):
        database.log_in(workspace.user.name, credential.token or "")


def test_datagrams_that_are_not_radius_are_passed_over(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = database.workspace
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in (b"", b"\x01", bytes(20), b"\x01\x00\x00\x16" + bytes(16) + b"\x01\x00"):
            sender.sendto(datagram, ("127.0.0.1", workspace.radius_port))

    token = mint(sign_in(workspace, workspace.user), workspace)
    database.log_in(workspace.user.name, token).close()

    assert (workspace.logins_accepted, workspace.logins_refused) == (1, 0)
    assert capfd.readouterr().err == ""
