"""Checks tokens of the identity provider, as RFC 8725 has it: https://www.rfc-editor.org/rfc/rfc8725

Importing this imports PyJWT and what it checks signatures with.
"""

import hashlib
import threading
import time
from collections.abc import Mapping
from typing import Any

import jwt

from lakebase_api.access.caller import Caller, Method
from lakebase_api.access.key_set import FETCH_TIME, KeySet
from lakebase_api.access.provider import Provider
from lakebase_api.access.refusals import Unauthenticated
from lakebase_api.access.subjects import choose_label, find_fault
from lakebase_api.settings import Settings

REQUIRED = ("exp", "iss", "aud", "sub")
# Seconds by which the clock of the provider may be another.
LEEWAY = 30.0
# Seconds for which a token that was found good is not checked again, and how many are remembered.
REMEMBERED = 60.0
MOST_REMEMBERED = 1000
LABELS = ("email", "preferred_username", "name")

UNREADABLE = "This is no token that the service can read."
OTHER_ALGORITHM = "The algorithm of the token is not accepted here."
OTHER_KEY = "The token is signed with a key that is not one of the identity provider."
# What is wrong with a token, the first that fits.
FAULTS: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is for another audience.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.MissingRequiredClaimError: "The token lacks one of exp, iss, aud and sub.",
    jwt.InvalidSignatureError: "The signature of the token is wrong.",
}


class Tokens:
    """Tells from tokens who calls. Safe to share between threads."""

    def __init__(self, settings: Settings, keys: KeySet) -> None:
        assert settings.jwt_issuer
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._algorithms = tuple(settings.jwt_algorithms)
        self._roles_claim = settings.jwt_roles_claim
        self._keys = keys
        self._remembering = threading.Lock()
        # By the SHA-256 of a token, for no token is to be found in memory: the caller, and until when.
        self._remembered: dict[bytes, tuple[Caller, float]] = {}

    def check(self, token: str, deadline: float) -> Caller:
        """Who calls. Raises ``Unauthenticated`` and ``CannotTell``.

        It may wait until ``deadline``, a time of ``time.monotonic()``.
        """
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered and time.time() < remembered[1]:
            return remembered[0]
        claims = self._verify(token, deadline)
        caller = self._build_caller(claims)
        self._remember(digest, caller, min(float(claims["exp"]), time.time() + REMEMBERED))
        return caller

    def _verify(self, token: str, deadline: float) -> Mapping[str, Any]:
        try:
            # Of what a token says of its key, id and algorithm alone count: it may say where to get one.
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in self._algorithms:
                raise Unauthenticated(OTHER_ALGORITHM, was_tried=True)
            key = self._keys.find(header.get("kid"), algorithm, deadline)
            if key is None:
                raise Unauthenticated(OTHER_KEY, was_tried=True)
            return jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": list(REQUIRED), "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ArithmeticError, RecursionError, ValueError) as error:
            said = next((text for kind, text in FAULTS.items() if isinstance(error, kind)), UNREADABLE)
            raise Unauthenticated(said, was_tried=True) from None

    def _build_caller(self, claims: Mapping[str, Any]) -> Caller:
        subject = claims["sub"]
        if fault := find_fault(subject):
            raise Unauthenticated(f"The subject of the token {fault}.", was_tried=True)
        label = choose_label([claims.get(name) for name in LABELS], subject)
        return Caller(subject, label, Method.JWT, find_roles(claims, self._roles_claim), claims)

    def _remember(self, digest: bytes, caller: Caller, until: float) -> None:
        with self._remembering:
            if len(self._remembered) >= MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered.pop(digest, None)
            self._remembered[digest] = (caller, until)


def build_tokens(settings: Settings) -> Tokens:
    """What checks the tokens of the provider that the settings name. It asks nobody before there is one."""
    assert settings.jwt_issuer
    provider = Provider(settings.jwt_issuer, settings.jwt_jwks_url, FETCH_TIME)
    return Tokens(settings, KeySet(provider.fetch_keys))


def find_roles(claims: Mapping[str, Any], path: str | None) -> frozenset[str]:
    """The roles in a claim: a list of texts, or one with blanks between them.

    ``path`` is the name of the claim, or names with dots between them that lead to it.
    """
    if path is None:
        return frozenset()
    found: Any = claims
    for name in (path,) if path in claims else path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return frozenset(found.split())
    return (
        frozenset(role for role in found if isinstance(role, str)) if isinstance(found, list) else frozenset()
    )
