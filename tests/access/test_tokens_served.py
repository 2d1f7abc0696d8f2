"""Tokens as callers use them, sent to the real server, while the provider is well and while it is not."""

import time
from collections.abc import Callable

from tests.access.identity_provider import IdentityProvider
from tests.access.keys import bear
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess

Starter = Callable[[dict[str, str]], GunicornProcess]


def test_a_provider_that_hangs_fails_no_good_token_and_nothing_of_a_token_is_in_the_log(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter, provider: IdentityProvider
) -> None:
    settings = {**unchanged_database.environment, **provider.settings, "LOG_LEVEL": "DEBUG"}
    gunicorn = start_gunicorn({**settings, "WEB_THREADS": "20"}).wait_until_started()
    assert provider.asked == []
    tokens = [provider.sign(provider.claim(jti=str(number))) for number in range(50)]
    assert gunicorn.get("/orders/1", **bear(tokens[0])).status_code == 200
    provider.answers.clear()
    assert {gunicorn.get("/orders/1", **bear(token)).status_code for token in tokens} == {200}
    assert provider.fetches == 1
    forged = gunicorn.get("/orders/1", **bear(provider.sign(headers={"kid": "no-such-key"})))
    assert forged.status_code == 401
    wrong = provider.sign(provider.claim(aud="another"))
    assert gunicorn.get("/orders/1", **bear(wrong)).status_code == 401
    for token in (*tokens, wrong):
        for part in token.split(".")[1:]:
            assert part not in gunicorn.output


def test_the_service_starts_without_a_provider_and_cannot_tell_until_there_is_one(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter, provider: IdentityProvider
) -> None:
    provider.status = 500
    settings = {**unchanged_database.environment, **provider.settings, "ANONYMOUS": "read"}
    gunicorn = start_gunicorn(settings).wait_until_started()
    token = bear(provider.sign(provider.claim(exp=time.time() + 600)))
    answer = gunicorn.get("/orders/1", **token)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/authentication-unavailable")
    assert int(answer.headers["Retry-After"]) >= 2
    assert gunicorn.get("/orders/1").status_code == 200
    provider.status = 200
    gunicorn.wait_until(lambda: gunicorn.get("/orders/1", **token).status_code == 200)
