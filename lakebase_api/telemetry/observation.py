"""What is told of each answer to those who count, draw or trace it."""

from typing import Protocol

import msgspec

from lakebase_api.telemetry.trace_context import TraceContext


class Route(msgspec.Struct, frozen=True):
    """Where a request was led: never its raw path, which has keys of rows.

    ``path`` is the one of the OpenAPI document, empty where there is no such path; ``operation`` the
    operationId; ``table`` the declared table, if it is of one. ``is_free``: it takes no quota, as probes,
    documentation and what watches the service do.
    """

    path: str
    operation: str
    table: str | None
    is_free: bool = False


NO_ROUTE = Route("", "", None)


class Observation(msgspec.Struct, frozen=True):
    """One answer, as its head is about to be sent. Times are in seconds.

    ``method`` is one of HTTP's, or ``_OTHER``; ``waited`` and ``held`` are of connections; ``rows`` and
    ``size``, in bytes, of the body, but of an export nothing, which is told when it has ended; ``problem`` is
    the last part of a problem's type; ``held_after`` is when a connection was first held, from the beginning;
    ``cost`` what it takes of a quota, in units.
    """

    route: Route
    method: str
    status: int
    seconds: float
    waited: float
    held: float
    rows: int
    size: int
    subject: str
    problem: str | None
    request_id: str
    trace: TraceContext
    held_after: float
    cost: float = 1.0


class ExportObservation(msgspec.Struct, frozen=True):
    """One export that has ended, with all the rows and bytes that were sent; ``outcome`` says how.

    ``seconds_after_head`` are those after ``observe`` was told of it, if that was so before its end; ``cost``
    is what it takes of a quota beside what was told then.
    """

    route: Route
    subject: str
    outcome: str
    rows: int
    size: int
    seconds: float
    request_id: str
    seconds_after_head: float = 0.0
    cost: float = 0.0


class Observer(Protocol):
    """Is told of requests. Each method may be called from any thread, must not block, and never raises."""

    def begin(self) -> None:
        """A request has begun: ``observe`` will be called once for it."""
        ...

    def observe(self, observation: Observation) -> None:
        """A request was answered."""
        ...

    def observe_export(self, export: ExportObservation) -> None:
        """An export has ended, after ``observe``."""
        ...
