"""Who is known to the workspace, and every secret it ever gave out."""

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

# Real tokens are JWTs. This is the header of one, so that ours look alike to code that masks them.
_JWT_HEADER = "eyJhbGciOiJSUzI1NiJ9"
# Long enough to be unique, short enough to survive the truncation of log lines.
_FRAGMENT = 16


@dataclass(frozen=True)
class Identity:
    """A person with a personal access token, or a service principal with a client secret."""

    name: str
    """User name or client id; the name of the PostgreSQL role as well."""
    secret: str = field(repr=False)
    is_service_principal: bool

    def sdk_arguments(self) -> dict[str, str]:
        """What ``databricks.sdk.config.Config`` takes besides ``host``."""
        if self.is_service_principal:
            return {"client_id": self.name, "client_secret": self.secret}
        return {"token": self.secret}


@dataclass
class _Token:
    owner: Identity
    purpose: Literal["workspace", "database"]
    expires_at: float  # on the monotonic clock


class Accounts:
    """Identities and tokens. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._identities: dict[str, Identity] = {}
        self._tokens: dict[str, _Token] = {}
        self._federated: dict[str, Identity] = {}
        self._issued: list[str] = []

    def add(self, name: str, *, is_service_principal: bool) -> Identity:
        """Make an identity with a new secret."""
        identity = Identity(
            name, ("dose" if is_service_principal else "dapi") + secrets.token_hex(16), is_service_principal
        )
        with self._lock:
            self._identities[name] = identity
            self._issued.append(identity.secret)
        return identity

    def issue(self, owner: Identity, purpose: Literal["workspace", "database"], life: float) -> str:
        """Make a token that is good for ``life`` seconds, alongside those that exist."""
        # 108 bytes; RADIUS carries passwords of up to 128.
        token = f"{_JWT_HEADER}.{secrets.token_urlsafe(32)}.{secrets.token_urlsafe(32)}"
        with self._lock:
            self._tokens[token] = _Token(owner, purpose, time.monotonic() + life)
            self._issued.append(token)
        return token

    def bearer(self, token: str) -> Identity | None:
        """Whose personal access token or workspace token this is, if it is good now."""
        with self._lock:
            held = self._tokens.get(token)
            if held and held.purpose == "workspace" and time.monotonic() < held.expires_at:
                return held.owner
            people = (i for i in self._identities.values() if not i.is_service_principal)
            return next((i for i in people if secrets.compare_digest(i.secret, token)), None)

    def service_principal(self, client_id: str, client_secret: str) -> Identity | None:
        """The service principal with this id and secret, if there is one."""
        with self._lock:
            found = self._identities.get(client_id)
        right = found is not None and found.is_service_principal and found.secret == client_secret
        return found if right else None

    def federate(self, identity: Identity) -> str:
        """A token of another issuer that is to be taken for this service principal."""
        token = f"{_JWT_HEADER}.{secrets.token_urlsafe(32)}.{secrets.token_urlsafe(32)}"
        with self._lock:
            self._federated[token] = identity
            self._issued.append(token)
        return token

    def federated(self, client_id: str, token: str) -> Identity | None:
        """The service principal with this id, if the token of another issuer is taken for it."""
        with self._lock:
            found = self._federated.get(token)
        return found if found is not None and found.name == client_id else None

    def may_log_in(self, role: str, password: str) -> bool:
        """Whether PostgreSQL should let this role in with this password, now."""
        with self._lock:
            held = self._tokens.get(password)
            return (
                held is not None
                and held.purpose == "database"
                and held.owner.name == role
                and time.monotonic() < held.expires_at
            )

    def revoke_database_tokens(self) -> None:
        """Let none of the database tokens issued so far log in again."""
        with self._lock:
            for token in self._tokens.values():
                if token.purpose == "database":
                    token.expires_at = 0

    def issued(self) -> list[str]:
        """Every token and secret ever made, oldest first."""
        with self._lock:
            return list(self._issued)

    def leaked_in(self, text: str) -> list[str]:
        """Those of the secrets that ``text`` shows, even cut short."""
        return [secret for secret in self.issued() if _fragment(secret) in text]


def _fragment(secret: str) -> str:
    random_part = secret.split(".")[1] if "." in secret else secret[4:]
    return random_part[:_FRAGMENT]
