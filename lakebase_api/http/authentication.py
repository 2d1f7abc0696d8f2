"""Lets nobody in who is not known, but to what is open to everybody.

The answers are those of RFC 6750: https://www.rfc-editor.org/rfc/rfc6750#section-3
"""

from flask import Flask, Response, request

from lakebase_api.access.authenticator import Authenticator
from lakebase_api.access.rate_limit import RateLimit
from lakebase_api.access.refusals import CannotTell, Unauthenticated
from lakebase_api.access.rights import Rights
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.documentation import ASSETS_ENDPOINT, DOCUMENT_ENDPOINT, PAGE_ENDPOINT
from lakebase_api.http.pages import ASSETS
from lakebase_api.http.problems import build_response
from lakebase_api.http.quota import refuse
from lakebase_api.http.request_context import current_exchange

REALM = "lakebase-api"
# What is open to everybody; a path that is not there is not. Everything else needs a caller.
OPEN = frozenset(
    {
        "probes.get_health",
        "probes.get_liveness",
        "probes.get_readiness",
        ASSETS_ENDPOINT,
        DOCUMENT_ENDPOINT,
        PAGE_ENDPOINT,
        f"{ASSETS}.static",
        "status.show_status",
        "home.list_problems",
        "home.show_problem",
    }
)
# What is asked for again and again by who only looks at how the service is doing.
WATCHING = ("metrics.get_metrics", "status.get_status")


def require_callers(app: Flask, authenticator: Authenticator, rights: Rights, rate_limit: RateLimit) -> None:
    """Have each request of the app tell who it is from, before anything of it is looked at or read.

    Who sends wrong keys or tokens again and again is told to wait.
    """

    def identify() -> None:
        if request.endpoint not in OPEN and not _is_preflight():
            exchange = current_exchange()
            watches = request.endpoint in WATCHING
            caller = authenticator.identify(exchange.environ, exchange.deadline, watches=watches)
            exchange.caller = rights.assign(caller)

    def refuse_stranger(refusal: Unauthenticated) -> Response:
        if refusal.was_tried:
            standing = rate_limit.charge_failure(current_exchange().environ.get("REMOTE_ADDR", ""))
            if not standing.is_allowed:
                return refuse(standing)
        return answer_unauthenticated(refusal)

    app.before_request(identify)
    app.register_error_handler(Unauthenticated, refuse_stranger)
    app.register_error_handler(CannotTell, _answer_unavailable)


def _is_preflight() -> bool:
    """Whether a browser asks what a page may send: it never says then who calls.

    https://fetch.spec.whatwg.org/#cors-preflight-request
    """
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def answer_unauthenticated(refusal: Unauthenticated) -> Response:
    """Ask for a key or token, and say what was wrong with the one that was sent."""
    response = build_response(kinds.UNAUTHENTICATED, refusal.says)
    error = "invalid_token" if refusal.was_tried else ""
    response.headers["WWW-Authenticate"] = challenge(error, refusal.says)
    return response


def challenge(error: str, says: str, **parameters: str) -> str:
    """The challenge of an answer; ``error`` is one of RFC 6750, or empty where nothing was tried."""
    told = {"error": error, "error_description": says, **parameters} if error else {}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in {"realm": REALM, **told}.items())


def _answer_unavailable(refusal: CannotTell) -> Response:
    return build_response(kinds.AUTHENTICATION_UNAVAILABLE, refusal.says)
