"""Observations of requests that were never made."""

from msgspec.structs import replace

from lakebase_api.telemetry.observation import Observation, Route
from lakebase_api.telemetry.trace_context import TraceContext

ROUTE = Route("/orders/{o_orderkey}", "get_order", "orders")
OBSERVATION = Observation(
    ROUTE,
    "GET",
    200,
    seconds=0.004,
    waited=0.001,
    held=0.002,
    rows=1,
    size=300,
    subject="key:ann",
    problem=None,
    request_id="one",
    trace=TraceContext("0af7651916cd43dd8448eb211c80319c"),
    held_after=0.0015,
)


def observe(**changed: object) -> Observation:
    """An observation of an order that was read, but for what is given."""
    return replace(OBSERVATION, **changed)
