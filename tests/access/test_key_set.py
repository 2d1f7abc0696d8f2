"""The keys of a provider: when they are fetched, and how long they are good while it is away."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lakebase_api.access.key_set import KeySet
from lakebase_api.access.provider import Provider, SigningKey
from lakebase_api.access.refusals import CannotTell
from tests.access.identity_provider import IdentityProvider
from tests.waiting import PATIENCE

HOUR = 3600.0


class Clock:
    """A clock that a test sets."""

    now = 1000.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


Find = Callable[..., SigningKey | None]


@pytest.fixture
def find(provider: IdentityProvider, clock: Clock) -> Find:
    """Finds a key by its id, in a set that waits as long as a test wants to."""
    keys = KeySet(
        Provider(provider.issuer, None, PATIENCE).fetch_keys,
        clock=lambda: clock.now,
        patience=0.01,
        fetch_time=0.05,
    )

    def find_key(key_id: str, algorithm: str = "RS256") -> SigningKey | None:
        return keys.find(key_id, algorithm, time.monotonic() + PATIENCE)

    # The first one may take as long as it takes.
    find_key.keys = keys  # type: ignore[attr-defined]
    return find_key


def fetch_at_first(find: Find) -> None:
    """Have the keys there, however long that takes on a busy machine."""
    keys: KeySet = find.keys  # type: ignore[attr-defined]
    keys._load()


def wait_for_fetch(find: Find) -> None:
    keys: KeySet = find.keys  # type: ignore[attr-defined]
    assert keys._latest is not None
    keys._latest.wait(time.monotonic() + PATIENCE)


def test_nobody_is_asked_before_there_is_a_token_and_then_once_in_ten_minutes(
    provider: IdentityProvider, clock: Clock, find: Find
) -> None:
    assert provider.asked == []
    fetch_at_first(find)
    for _ in range(5):
        clock.now += 119
        assert find("rsa-1")
    assert provider.fetches == 1
    clock.now += 10
    assert find("rsa-1")
    wait_for_fetch(find)
    assert provider.fetches == 2


def test_a_key_that_is_not_known_is_asked_for_once_in_half_a_minute(
    provider: IdentityProvider, clock: Clock, find: Find
) -> None:
    fetch_at_first(find)
    clock.now += 31
    for number in range(20):
        try:
            assert find(f"forged-{number}") is None
        except CannotTell:
            wait_for_fetch(find)  # it took longer than this test lets it
    assert provider.fetches == 2
    provider.add_key("rsa-2")
    assert find("rsa-2") is None
    clock.now += 31
    try:
        found = find("rsa-2")
    except CannotTell:
        wait_for_fetch(find)
        found = find("rsa-2")
    assert found
    assert provider.fetches == 3


def test_a_key_that_the_provider_gave_up_is_no_longer_accepted_however_long_nobody_asked(
    provider: IdentityProvider, clock: Clock, find: Find
) -> None:
    fetch_at_first(find)
    del provider.keys["rsa-1"]
    clock.now += 601
    find("rsa-1")
    wait_for_fetch(find)
    assert find("rsa-1") is None


def test_a_provider_that_hangs_fails_no_good_token_for_a_day_and_holds_no_thread(
    provider: IdentityProvider, clock: Clock, find: Find
) -> None:
    fetch_at_first(find)
    provider.answers.clear()
    began = time.monotonic()
    for _ in range(23):
        clock.now += HOUR
        assert find("rsa-1")
    with pytest.raises(CannotTell):
        find("forged")
    assert time.monotonic() - began < PATIENCE
    assert sum("identity provider" in thread.name for thread in threading.enumerate()) == 1
    clock.now += 2 * HOUR
    with pytest.raises(CannotTell):
        find("rsa-1")
    provider.answers.set()
    wait_for_fetch(find)
    assert find("rsa-1")


def test_many_who_come_at_once_wait_for_one_fetch(provider: IdentityProvider) -> None:
    keys = KeySet(Provider(provider.issuer, None, PATIENCE).fetch_keys, fetch_time=PATIENCE)
    found: list[SigningKey | None] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(keys.find("rsa-1", "RS256", time.monotonic() + PATIENCE))
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(found)
    assert provider.fetches == 1


def fetch(provider: IdentityProvider, **other: str) -> Sequence[SigningKey]:
    given: dict[str, Any] = {"issuer": provider.issuer, "jwks_url": None, "time_limit": PATIENCE, **other}
    return Provider(**given).fetch_keys()


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_an_answer_that_is_none_gives_no_keys_and_a_redirect_is_not_followed(
    provider: IdentityProvider, status: int
) -> None:
    provider.status = status
    with pytest.raises(Exception, match=f"it answers {status}"):
        fetch(provider)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        b'{"keys": [1, null, {"kty": "RSA"}, {"kty": "RSA", "n": "AQ", "e": 5}, {"kty": "EC", "crv": "x"}]}',
        b"[" * 100_000,
        b" " * 300_000,
    ],
)
def test_documents_without_a_key_give_none(provider: IdentityProvider, body: bytes) -> None:
    provider.body = body
    with pytest.raises(Exception, match=r"answer|JSON|recursion"):
        fetch(provider, jwks_url=f"{provider.issuer}/keys")


def test_a_provider_that_calls_itself_something_else_or_leads_away_from_https_is_not_believed(
    provider: IdentityProvider,
) -> None:
    with pytest.raises(Exception, match="another issuer"):
        fetch(provider, issuer=f"{provider.issuer}/")
    provider.body = b'{"issuer": "%s", "jwks_uri": "http://keys.example/"}' % provider.issuer.encode()
    with pytest.raises(Exception, match="no https address"):
        fetch(provider)


def test_the_address_of_the_keys_may_be_said(provider: IdentityProvider) -> None:
    assert {key.id for key in fetch(provider, jwks_url=f"{provider.issuer}/keys")} == {"rsa-1", "ec-1"}
    assert provider.asked == ["/keys"]


def test_a_provider_that_does_not_answer_in_time_is_left(provider: IdentityProvider) -> None:
    provider.answers.clear()
    with pytest.raises(Exception, match="ReadTimeout"):
        Provider(provider.issuer, None, 0.1).fetch_keys()
