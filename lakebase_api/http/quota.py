"""Holds callers to their quota, and tells them what is left of it.

The header fields are those of https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
"""

import math
import random
from collections.abc import Callable

from flask import Flask, Response, request

from lakebase_api.access.caller import Caller
from lakebase_api.access.rate_limit import Policy, RateLimit, Standing
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.problems import build_response
from lakebase_api.http.request_context import current_exchange

# The quota of a caller, if there is one.
FindPolicy = Callable[[Caller], Policy | None]

# What is asked of the service itself: whether it is up, how it is doing, and how it is used.
FREE = ("probes", "home", "api-docs", "docs-assets", "pages", "status", "metrics")


def limit_callers(app: Flask, rate_limit: RateLimit, find_policy: FindPolicy) -> None:
    """Charge each request to its caller, and refuse those of callers who have nothing left.

    To be called after what finds out who calls.
    """

    def check() -> Response | None:
        exchange = current_exchange()
        policy = find_policy(exchange.caller)
        if policy is None or request.method == "OPTIONS" or request.blueprint in FREE:
            return None
        flow = exchange.flow
        # The answer may take more than the least, which is all that is known of it by now.
        exchange.charge = lambda cost: rate_limit.charge(policy, flow, cost)
        exchange.standing = rate_limit.take(policy, flow)
        return None if exchange.standing.is_allowed else refuse(exchange.standing)

    def finish(response: Response) -> Response:
        exchange = current_exchange()
        if exchange.charge and exchange.full_cost:
            exchange.standing = exchange.charge(exchange.full_cost)
        if exchange.standing:
            _tell(response, exchange.standing)
        return response

    app.before_request(check)
    app.after_request(finish)


def refuse(standing: Standing) -> Response:
    """The answer to who has nothing left, with the seconds to wait in ``Retry-After``."""
    policy = standing.policy
    detail = f"The quota of {policy.quota} in {policy.window} seconds is used up."
    response = build_response(kinds.QUOTA_EXCEEDED, detail, beside={"violated-policies": [policy.name]})
    seconds = math.ceil(standing.reset)
    # Not all connections of a caller at once, and none before the quota is there again.
    response.headers["Retry-After"] = str(random.randint(seconds, seconds + 1 + seconds // 10))
    return response


def _tell(response: Response, standing: Standing) -> None:
    policy = standing.policy
    add = response.headers.add
    add("RateLimit-Policy", f'"{policy.name}";q={policy.quota};w={policy.window}')
    add("RateLimit", f'"{policy.name}";r={standing.remaining};t={math.ceil(standing.reset)}')
