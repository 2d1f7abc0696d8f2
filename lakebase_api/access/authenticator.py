"""Who a request is from: by the proxy in front, or by the key or token that it comes with."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from lakebase_api.access.api_keys import PREFIX, is_same, read_id
from lakebase_api.access.caller import ANONYMOUS, Caller, Method
from lakebase_api.access.forwarded import read_forwarded
from lakebase_api.access.key_ring import KeyRing
from lakebase_api.access.refusals import Unauthenticated
from lakebase_api.access.subjects import KEY_PREFIX
from lakebase_api.settings import Settings

LOCAL = Caller("local", "local", Method.LOCAL)

# What may be set so that others than the machine itself are served; for the log, `doctor` and the answer.
WAYS = (
    "RIGHTS_FILE, JWT_ISSUER with JWT_AUDIENCE, API_KEYS_FILE, TRUST_FORWARDED_IDENTITY=true behind a proxy "
    "that says who calls, or ANONYMOUS: off for those with an API key alone, read or all for anybody"
)
NOBODY = f"Nothing says who may call this service. Whoever runs it sets {WAYS}."
NOT_FORWARDED = "The proxy in front did not say who calls: there is no X-Forwarded-User."
NO_CREDENTIAL = "Send an API key, or a token of the identity provider, behind Authorization: Bearer."
NOT_BEARER = "The only scheme of Authorization is Bearer, with an API key or a token behind it."
NOT_WHOLE = "This is no API key: it was not copied whole, or has something else in it."
UNKNOWN_KEY = "The API key is not known, or was revoked."
EXPIRED_KEY = "The API key has expired."
NOT_KNOWN = "This is no API key, and there is no identity provider whose token it could be."


class Authenticator:
    """Tells who a request is from. Safe to share between threads.

    ``check_token`` tells it from a token, and may wait until a time of ``time.monotonic()``.
    """

    def __init__(
        self,
        settings: Settings,
        keys: KeyRing,
        check_token: Callable[[str, float], Caller] | None = None,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._check_token = check_token
        self._forwarding = _find_forwarding(settings)
        # On Databricks Apps the header may carry a token that the platform let the caller in with.
        self._reads_authorization = settings.app_name is None and self._forwarding is None
        self._is_closed = settings.lets_nobody_in
        self._stranger = _find_stranger(settings)

    def note_reach(self, *, is_open: bool) -> None:
        """Whether other machines reach the service, if not as the settings say. Call it before it serves."""
        self._is_closed = is_open and not self._settings.says_who_calls

    @property
    def stranger(self) -> Caller | None:
        """Who a request is from that does not say so; ``None`` if it is not let in."""
        return self._stranger

    @property
    def reads_credentials(self) -> bool:
        """Whether callers may say who they are by a key or token, and not the proxy in front alone."""
        return self._reads_authorization

    @property
    def is_closed(self) -> bool:
        """Whether nobody is let in, since nothing says who may call."""
        return self._is_closed

    def describe(self) -> str:
        """How callers are known, for the log."""
        if self._is_closed:
            return f"only probes and documentation are served. {NOBODY}"
        if self._stranger is LOCAL:
            return "everything is allowed to everybody on this machine, since nothing says who may call"
        known = "by the proxy in front" if self._forwarding else "by API key or token"
        others = "others may call as anonymous" if self._stranger else "nobody else is served"
        return f"callers are known {known}; {others}"

    def identify(self, environ: Mapping[str, Any], deadline: float, *, watches: bool = False) -> Caller:
        """Who the WSGI request is from. Raises ``Unauthenticated`` and ``CannotTell``.

        It may wait until ``deadline``, a time of ``time.monotonic()``. ``watches``: it only looks at how the
        service is doing.
        """
        if self._is_closed:
            raise Unauthenticated(NOBODY)
        if self._forwarding:
            caller = read_forwarded(environ, self._forwarding)
        elif self._reads_authorization and (authorization := environ.get("HTTP_AUTHORIZATION")):
            return self._check(authorization, deadline, watches)
        else:
            caller = None
        if caller := caller or self._stranger:
            return caller
        raise Unauthenticated(NOT_FORWARDED if self._forwarding else NO_CREDENTIAL)

    def _check(self, authorization: str, deadline: float, watches: bool) -> Caller:
        scheme, _, credential = authorization.partition(" ")
        if scheme.casefold() != "bearer":
            raise Unauthenticated(NOT_BEARER, was_tried=True)
        credential = credential.strip()
        if credential.startswith(PREFIX):
            return self._check_key(credential, deadline, watches)
        if self._check_token is None:
            raise Unauthenticated(NOT_KNOWN, was_tried=True)
        return self._check_token(credential, deadline)

    def _check_key(self, text: str, deadline: float, watches: bool) -> Caller:
        key_id = read_id(text)
        if key_id is None:
            raise Unauthenticated(NOT_WHOLE, was_tried=True)
        key = self._keys.find(key_id, deadline, watches=watches)
        if not is_same(text, key) or key is None:
            raise Unauthenticated(UNKNOWN_KEY, was_tried=True)
        if key.expires_at is not None and time.time() >= key.expires_at:
            raise Unauthenticated(EXPIRED_KEY, was_tried=True)
        self._keys.note_use(key)
        return Caller(f"{KEY_PREFIX}{key.name}", key.name, Method.API_KEY)


def _find_forwarding(settings: Settings) -> Method | None:
    """How it is established who calls where the proxy in front says it."""
    if not settings.trusts_identity:
        return None
    return Method.PLATFORM if settings.app_name else Method.PROXY


def _find_stranger(settings: Settings) -> Caller | None:
    """Who somebody is that says nothing of it; ``None`` where they are not let in."""
    if not settings.says_who_calls:
        return LOCAL
    return ANONYMOUS if settings.anonymous in ("read", "all") else None
