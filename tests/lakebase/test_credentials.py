import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakebase_api.lakebase.credentials import Credential, CredentialError, CredentialHolder
from tests.waiting import PATIENCE


def credential(token: str = "secret-token", life: float = 3600.0) -> Credential:
    return Credential.living(token, life, refresh_interval=3000, now=time.monotonic())


@pytest.mark.parametrize(
    ("life", "interval", "due"),
    [
        (3600, 3000, 3000),  # the interval is sooner
        (3600, 3600, 3300),  # 300 s are kept, though a quarter is 900
        (300, 3000, 225),  # a quarter is kept
        (4, 3000, 3),
    ],
)
def test_a_token_is_due_after_the_interval_or_before_its_end_whichever_is_sooner(
    life: float, interval: float, due: float
) -> None:
    for _ in range(100):
        fresh = Credential.living("t", life, refresh_interval=interval, now=1000.0)
        assert due * 0.9 <= fresh.refresh_at - 1000.0 <= due
        assert fresh.expires_at == 1000.0 + life


def test_the_token_is_not_in_the_repr() -> None:
    assert "secret-token" not in repr(credential())


def test_a_live_token_is_used_again_without_a_mint() -> None:
    holder = CredentialHolder(credential)
    assert [holder.token() for _ in range(3)] == ["secret-token"] * 3
    assert holder.minted == 1


def test_a_token_with_less_than_a_second_to_live_starts_no_login() -> None:
    tokens = iter([credential("old", life=0.9), credential("new")])
    holder = CredentialHolder(lambda: next(tokens))
    holder.refresh()
    assert holder.token() == "new"


def test_however_many_ask_at_once_one_mint_serves_them_all() -> None:
    askers = 8
    all_asking = threading.Barrier(askers + 1)
    mints = []

    def mint() -> Credential:
        mints.append(1)
        proceed.wait(PATIENCE)
        return credential()

    def ask() -> str:
        all_asking.wait(PATIENCE)
        return holder.token()

    proceed = threading.Event()
    holder = CredentialHolder(mint)
    with ThreadPoolExecutor(askers) as threads:
        asking = [threads.submit(ask) for _ in range(askers)]
        all_asking.wait(PATIENCE)
        proceed.set()
        assert {answer.result() for answer in asking} == {"secret-token"}
    assert len(mints) == 1


def test_who_waits_for_a_mint_that_fails_shares_its_error() -> None:
    minting, proceed = threading.Event(), threading.Event()

    def mint() -> Credential:
        minting.set()
        proceed.wait(PATIENCE)
        raise CredentialError("the workspace is away")

    holder = CredentialHolder(mint)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(holder.token)
        assert minting.wait(PATIENCE)
        second = threads.submit(holder.token)
        proceed.set()
        for asking in (first, second):
            with pytest.raises(CredentialError, match="away"):
                asking.result()


def test_the_old_token_stays_in_use_while_it_lives_when_a_refresh_fails() -> None:
    outcomes = iter([credential("old")])

    def mint() -> Credential:
        for outcome in outcomes:
            return outcome
        raise CredentialError("the workspace is away")

    holder = CredentialHolder(mint)
    holder.refresh()
    with pytest.raises(CredentialError, match="away"):
        holder.refresh()
    assert holder.token() == "old"
    assert str(holder.error) == "the workspace is away"


def test_a_workspace_that_just_refused_is_not_asked_again_at_once() -> None:
    asked = []

    def mint() -> Credential:
        asked.append(1)
        raise CredentialError("the workspace is away")

    holder = CredentialHolder(mint)
    for _ in range(5):
        with pytest.raises(CredentialError, match="away"):
            holder.token()
    assert len(asked) == 1


def test_a_workspace_that_took_long_to_fail_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakebase_api.lakebase.credentials.PAUSE_AFTER_FAILURE", 0.1)
    asked = []

    def mint() -> Credential:
        asked.append(1)
        time.sleep(0.1)
        raise CredentialError("no answer")

    holder = CredentialHolder(mint)
    for _ in range(2):
        with pytest.raises(CredentialError, match="no answer"):
            holder.token()
    assert len(asked) == 2


def test_a_refused_token_is_replaced_but_a_late_refusal_of_an_old_one_is_not_heard() -> None:
    tokens = iter([credential("old"), credential("new")])
    holder = CredentialHolder(lambda: next(tokens))
    holder.token()
    holder.refresh()
    holder.reject("old")
    assert holder.token() == "new"


def test_a_fresh_token_that_is_refused_is_not_replaced_at_once() -> None:
    holder = CredentialHolder(credential)
    holder.reject(holder.token())
    with pytest.raises(CredentialError, match="refused a fresh token"):
        holder.token()
    assert holder.minted == 1
