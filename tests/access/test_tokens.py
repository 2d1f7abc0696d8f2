"""Which tokens of an identity provider are accepted, and what becomes of the others: RFC 8725."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from lakebase_api.access.tokens import build_tokens, find_roles
from lakebase_api.app import get_service
from lakebase_api.environment import load_settings
from tests.access.identity_provider import IdentityProvider
from tests.access.keys import bear
from tests.conftest import AppOpener, OrdersDatabase, make_app
from tests.environments import STATIC
from tests.orders.changing import read, set_status
from tests.waiting import PATIENCE

Present = Callable[[str], tuple[int, str]]


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forge(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A token with any header, signed by HMAC."""
    signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256)) if secret else ''}"


@pytest.mark.parametrize(("key_id", "algorithm"), [("rsa-1", "RS256"), ("ec-1", "ES256")])
def test_a_token_of_the_provider_is_accepted(
    provider: IdentityProvider, present: Present, key_id: str, algorithm: str
) -> None:
    assert present(provider.sign(key_id=key_id, algorithm=algorithm))[0] == 200
    several = provider.claim(aud=["another", "orders-api"])
    assert present(provider.sign(several, key_id, algorithm))[0] == 200


def test_the_subject_is_the_caller_and_an_address_a_label(
    database: OrdersDatabase, open_app: AppOpener, provider: IdentityProvider
) -> None:
    client = open_app({**database.environment, **provider.settings}).test_client()
    token = bear(provider.sign(provider.claim(sub="7|ada", email="root@example.com")))
    assert set_status(client, 1, "F", token).status_code == 200
    [change] = read(client, "/orders/1/history", token)["changes"]
    assert change["changed_by"] == "7|ada"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1_700_000_000}, "The token has expired."),
        ({"exp": None}, "The token lacks one of exp, iss, aud and sub."),
        ({"sub": None}, "The token lacks one of exp, iss, aud and sub."),
        ({"aud": None}, "The token lacks one of exp, iss, aud and sub."),
        ({"iss": None}, "The token lacks one of exp, iss, aud and sub."),
        ({"aud": "another"}, "The token is for another audience."),
        ({"aud": "orders-api-2"}, "The token is for another audience."),
        ({"iss": "https://another.example"}, "The token is of another issuer."),
        ({"nbf": 4_000_000_000}, "The token is not valid yet."),
        ({"sub": "key:billing"}, "The subject of the token is a name that the service keeps for itself."),
        ({"sub": "anonymous"}, "The subject of the token is a name that the service keeps for itself."),
        ({"sub": "a\x00b"}, "The subject of the token is empty, or has control characters."),
        ({"sub": "\ud800"}, "The subject of the token is empty, or has control characters."),
        ({"sub": "x" * 321}, "The subject of the token has more than 320 characters."),
    ],
)
def test_a_token_that_is_not_for_this_service_now_is_refused(
    provider: IdentityProvider, present: Present, claims: dict[str, Any], said: str
) -> None:
    assert present(provider.sign(provider.claim(**claims))) == (401, said)


def test_a_clock_that_is_half_a_minute_off_does_no_harm(provider: IdentityProvider, present: Present) -> None:
    assert present(provider.sign(provider.claim(exp=time.time() - 20)))[0] == 200
    assert present(provider.sign(provider.claim(exp=time.time() - 40)))[0] == 401


def test_a_token_signed_again_with_the_public_key_as_a_secret_is_refused(
    provider: IdentityProvider, present: Present
) -> None:
    key = provider.keys["rsa-1"]
    assert isinstance(key, rsa.RSAPrivateKey)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("HS256", "RS256"):
        header = {"alg": algorithm, "kid": "rsa-1", "typ": "JWT"}
        assert present(forge(header, provider.claim(), public))[0] == 401


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["RS256"], "RS384", "PS256"])
def test_a_token_without_a_signature_or_of_another_algorithm_is_refused(
    provider: IdentityProvider, present: Present, algorithm: Any
) -> None:
    assert present(forge({"alg": algorithm, "kid": "rsa-1"}, provider.claim()))[0] == 401


def test_a_token_cannot_say_where_its_key_is(provider: IdentityProvider, present: Present) -> None:
    with IdentityProvider() as other:
        places = {
            "jku": f"{other.issuer}/keys",
            "x5u": f"{other.issuer}/keys",
            "jwk": other.describe_key("rsa-1"),
        }
        assert present(other.sign(provider.claim(), headers=places)) == (
            401,
            "The signature of the token is wrong.",
        )
        other.add_key("theirs")
        status, said = present(other.sign(provider.claim(), "theirs", headers=places))
        assert (status, said) == (
            401,
            "The token is signed with a key that is not one of the identity provider.",
        )
        assert other.asked == []


def test_a_key_of_another_kind_or_for_another_use_verifies_nothing(
    provider: IdentityProvider, present: Present
) -> None:
    assert present(provider.sign(key_id="rsa-1", headers={"kid": "ec-1"}))[0] == 401
    provider.add_key("other")
    provider.said["rsa-1"] = {"use": "enc"}
    tokens = build_tokens(load_settings({**STATIC, **provider.settings}))
    assert tokens.check(provider.sign(key_id="other"), time.monotonic() + PATIENCE).subject == "ada"
    with pytest.raises(Exception, match="not one of the identity provider"):
        tokens.check(provider.sign(), time.monotonic() + PATIENCE)


def test_a_weak_key_is_not_accepted(provider: IdentityProvider, present: Present) -> None:
    provider.keys["weak"] = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = provider.sign(key_id="weak")
    assert present(token)[0] == 401


def test_other_algorithms_are_accepted_where_that_is_set(provider: IdentityProvider) -> None:
    given = load_settings({**STATIC, **provider.settings, "JWT_ALGORITHMS": "ps256, RS512"})
    assert given.jwt_algorithms == ["PS256", "RS512"]
    tokens = build_tokens(given)
    for algorithm in given.jwt_algorithms:
        assert tokens.check(provider.sign(algorithm=algorithm), time.monotonic() + PATIENCE).subject == "ada"
    with pytest.raises(Exception, match="algorithm"):
        tokens.check(provider.sign(), time.monotonic() + PATIENCE)


def test_a_token_is_accepted_no_longer_than_it_lives_though_it_is_remembered(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = build_tokens(load_settings({**STATIC, **provider.settings}))
    token = provider.sign(provider.claim(exp=time.time() + 20))
    first = tokens.check(token, time.monotonic() + PATIENCE)
    assert tokens.check(token, time.monotonic() + PATIENCE) is first
    provider.keys.clear()
    now = time.time()
    monkeypatch.setattr("lakebase_api.access.tokens.time.time", lambda: now + 21)
    assert tokens.check(token, time.monotonic() + PATIENCE) is not first
    assert token not in repr(tokens._remembered)


@pytest.mark.parametrize(
    ("path", "claims", "roles"),
    [
        ("scope", {"scope": "read  write"}, {"read", "write"}),
        ("roles", {"roles": ["a b", "c", 7, None]}, {"a b", "c"}),
        ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}, {"admin"}),
        ("https://example.com/roles", {"https://example.com/roles": ["x"]}, {"x"}),
        ("roles", {}, set()),
        ("a.b", {"a": "text"}, set()),
        ("roles", {"roles": {"a": 1}}, set()),
        (None, {"roles": ["a"]}, set()),
    ],
)
def test_roles_are_those_of_the_claim(path: str | None, claims: dict[str, Any], roles: set[str]) -> None:
    assert find_roles(claims, path) == roles


HEADERS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=300),
    st.builds("Bearer {}".format, st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=300)),
    st.builds(
        lambda header, rest: f"Bearer {encode(json.dumps(header).encode())}.{rest}",
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), inner, max_size=4
                )
            ),
        ),
        st.sampled_from(["e30.x", "e30.", "..", "e30.AAAA.AAAA"]),
    ),
    st.just("Bearer " + encode(b"[" * 4000) + ".e30.x"),
    st.just("Bearer " + encode(b'{"alg":"RS256","kid":' + b"9" * 4999 + b"}") + ".e30.x"),
)


@pytest.fixture(scope="module")
def clients(unchanged_database: OrdersDatabase) -> Iterator[list[FlaskClient]]:
    """Of services that let strangers in, that do not, and that believe a provider."""
    with IdentityProvider() as provider, ExitStack() as stack:
        clients = []
        for more in ({}, {"ANONYMOUS": "all"}, {"ANONYMOUS": "off"}, provider.settings):
            app = make_app({**unchanged_database.environment, **more})
            get_service(app).open()
            stack.callback(get_service(app).close)
            clients.append(app.test_client())
        yield clients


# Threads of the service draw numbers meanwhile.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_whatever_is_sent_it_is_refused_and_never_an_error(clients: list[FlaskClient], examples: int) -> None:
    look = settings(max_examples=examples, deadline=None)(given(header=HEADERS)(refuse))
    look(clients)


def refuse(clients: list[FlaskClient], header: str) -> None:
    for client in clients:
        answer = client.get("/orders/1", headers={"Authorization": header})
        assert answer.status_code == 401 or (answer.status_code == 200 and not header)
