"""Asks the identity provider for the keys that it signs with.

https://openid.net/specs/openid-connect-discovery-1_0.html and https://www.rfc-editor.org/rfc/rfc7517
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from jwt import PyJWK, PyJWTError
from jwt.types import JWKDict
from marshmallow import ValidationError

from lakebase_api.addresses import read_provider_url

DISCOVERY = "/.well-known/openid-configuration"
# Bytes of a document: a key takes a thousand or two.
GREATEST_DOCUMENT = 256 * 1024
# The kind of key that each kind of algorithm takes. https://www.rfc-editor.org/rfc/rfc7518#section-3.1
KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class ProviderError(Exception):
    """The provider does not give its keys."""


@dataclass(frozen=True)
class SigningKey:
    """The public half of a key that the provider signs with; ``algorithm`` is the only one it is for."""

    id: str | None
    kind: str
    algorithm: str | None
    key: Any = field(repr=False)

    def fits(self, algorithm: str) -> bool:
        """Whether tokens of that algorithm may be signed with it."""
        return KINDS[algorithm[:2]] == self.kind and self.algorithm in (None, algorithm)


@dataclass(frozen=True)
class Provider:
    """The identity provider. ``jwks_url`` is where its keys are, if it is not to be asked for that."""

    issuer: str
    jwks_url: str | None
    time_limit: float

    def fetch_keys(self) -> Sequence[SigningKey]:
        """All its keys of kinds that are known here. Raises ``ProviderError``.

        It takes ``time_limit`` seconds; a little more where an answer comes in bits.
        """
        until = time.monotonic() + self.time_limit
        try:
            document = _fetch(self.jwks_url or self._discover(until), until)
        except (requests.RequestException, OSError, ValueError, RecursionError) as error:
            raise ProviderError(f"{type(error).__name__}: {error}") from None
        found = document.get("keys")
        keys = [key for each in found for key in _read_key(each)] if isinstance(found, list) else []
        if not keys:
            raise ProviderError("there are no keys in its answer")
        return keys

    def _discover(self, until: float) -> str:
        document = _fetch(self.issuer.rstrip("/") + DISCOVERY, until)
        if document.get("issuer") != self.issuer:
            raise ProviderError("it says in its configuration that it is another issuer")
        try:
            return read_provider_url(str(document.get("jwks_uri")))
        except ValidationError:
            raise ProviderError("it names no https address of its keys") from None


def _fetch(url: str, until: float) -> Mapping[str, Any]:
    """A document, which is an object. Raises what requests does, ``OSError`` and ``ValueError``."""
    left = max(0.1, until - time.monotonic())
    # Where a redirect leads is nowhere said in the settings.
    with requests.get(url, timeout=left, stream=True, allow_redirects=False) as answer:
        if answer.status_code != 200:
            raise ValueError(f"it answers {answer.status_code}")
        body = b""
        while chunk := answer.raw.read1(GREATEST_DOCUMENT, decode_content=True):
            body += chunk
            if len(body) > GREATEST_DOCUMENT:
                raise ValueError("its answer is too long")
            if time.monotonic() > until:
                raise TimeoutError("its answer takes too long")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("its answer is no JSON object")
    return document


def _read_key(jwk: JWKDict) -> Sequence[SigningKey]:
    """The key, or none: of a kind that signs nothing here, or broken."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("kty") not in KINDS.values():
        return ()
    try:
        key = PyJWK.from_dict(jwk)
    except (PyJWTError, ValueError, TypeError):
        return ()
    return (SigningKey(jwk.get("kid"), jwk["kty"], jwk.get("alg"), key.key),)
