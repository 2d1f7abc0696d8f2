"""The ways in which the stand-in can be made to misbehave."""

import threading
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .messages import Part, Reply, error, timestamp

Target = Part | Literal["everything"]
Malformation = Literal["no_token", "no_expiry", "already_expired", "html"]

_TOKEN_FIELDS = {"token", "access_token"}
_EXPIRY_FIELDS = {"expire_time", "expiration_time", "expires_in"}
_ERROR_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
_OAUTH_ERRORS = {400: "invalid_request", 401: "invalid_client", 403: "access_denied", 429: "slow_down"}


@dataclass
class Fault:
    """One fault: a status to answer with, a malformation, or (neither) silence until released."""

    status: int | None = None
    retry_after: int | None = None
    malformation: Malformation | None = None
    times: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    """Set when requests held by this fault are to be let go."""

    def error_reply(self, part: Part) -> Reply:
        """The error as the real service would word it for this part."""
        status = self.status or 500
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if part == "oauth":
            code = _OAUTH_ERRORS.get(status, "server_error")
            return Reply(status, {"error": code, "error_description": "stand-in: a fault"}, headers)
        wrong = error(status, _ERROR_CODES.get(status, "UNKNOWN"), "stand-in: a fault is switched on")
        return replace(wrong, headers=headers)

    def malform(self, reply: Reply) -> Reply:
        """The reply, spoilt."""
        if self.malformation == "html":
            return Reply(200, "<!doctype html><html><body>Sign in to Databricks</body></html>")
        if not isinstance(reply.body, dict) or self.malformation is None:
            return reply
        return replace(reply, body=_spoil(reply.body, self.malformation))


def _spoil(body: dict[str, Any], malformation: Malformation) -> dict[str, Any]:
    if malformation == "no_token":
        return {name: value for name, value in body.items() if name not in _TOKEN_FIELDS}
    if malformation == "no_expiry":
        return {name: value for name, value in body.items() if name not in _EXPIRY_FIELDS}
    past = {"expire_time": timestamp(-60), "expiration_time": timestamp(-60), "expires_in": 0}
    return {name: past.get(name, value) for name, value in body.items()}


class Faults:
    """Which faults are switched on, by part. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[Target, Fault] = {}
        # One event for all faults until the next clear(): a request may be held by a fault that
        # is no longer switched on, because it was limited in number.
        self._released = threading.Event()

    def switch_on(self, target: Target, fault: Fault) -> None:
        """Put ``fault`` in place of the one that ``target`` has."""
        with self._lock:
            self._faults[target] = replace(fault, released=self._released)

    def meet(self, part: Part) -> Fault | None:
        """The fault a request for ``part`` meets; one that is limited in number is used up by it."""
        with self._lock:
            target: Target = part if part in self._faults else "everything"
            fault = self._faults.get(target)
            if fault is not None and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    del self._faults[target]
            return fault

    def switch_off(self) -> None:
        """Switch everything off. Held requests are held on."""
        with self._lock:
            self._faults.clear()

    def clear(self) -> None:
        """Switch everything off and let held requests go."""
        with self._lock:
            self._faults.clear()
            self._released.set()
            self._released = threading.Event()
