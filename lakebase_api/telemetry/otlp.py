"""Traces and metrics of a worker, sent to a collector of OpenTelemetry by OTLP over HTTP.

Importing this imports the SDK of OpenTelemetry, which need not be installed. The SDK itself reads the
variables ``OTEL_…`` that say where to, how often, and what is sampled.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter
from opentelemetry.metrics import Observation as Measured
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from lakebase_api import __version__
from lakebase_api.telemetry.observation import ExportObservation, Observation
from lakebase_api.telemetry.otlp_exporters import MetricExporter, SpanExporter, keep_header_secrets
from lakebase_api.telemetry.trace_context import TraceContext

SCOPE = "lakebase_api"
# https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
POOL = {"db.client.connection.pool.name": "lakebase"}
NANOSECONDS = 1_000_000_000
# From here on the fault is the server's.
FAULT = 500


class OpenTelemetry:
    """An ``Observer``: of each sampled request two spans, of all requests their durations, and the pool.

    ``name`` is what the service is called unless ``OTEL_SERVICE_NAME`` says it; ``headers`` are those of the
    settings, of which the values are secret; ``find_stats`` gives psycopg_pool's counters. It starts threads:
    make it after the fork. Thread-safe.
    """

    def __init__(self, name: str, headers: str | None, find_stats: Callable[[], Mapping[str, int]]) -> None:
        keep_header_secrets(headers)
        resource = _describe_worker(name)
        self._trace_ids = _TraceIds()
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=self._trace_ids)
        self._traces.add_span_processor(BatchSpanProcessor(SpanExporter()))
        self._tracer = self._traces.get_tracer(SCOPE, __version__)
        self._metrics = MeterProvider(
            [PeriodicExportingMetricReader(MetricExporter())], resource, shutdown_on_exit=False
        )
        meter = self._metrics.get_meter(SCOPE, __version__)
        self._duration = meter.create_histogram(
            "http.server.request.duration", "s", explicit_bucket_boundaries_advisory=BUCKETS
        )
        _observe_pool(meter, find_stats)

    def begin(self) -> None:
        """It is measured when it is answered."""

    def observe(self, observation: Observation) -> None:
        """Measure a request, and draw it if it is sampled."""
        attributes = _describe(observation)
        self._duration.record(observation.seconds, attributes, Context())
        trace, route, end = observation.trace, observation.route, time.time_ns()
        start = end - int(observation.seconds * NANOSECONDS)
        self._trace_ids.next_one = int(trace.trace_id, 16)
        name = f"{observation.method} {route.path}" if route.path else observation.method
        span = self._tracer.start_span(
            name, _find_parent(trace), SpanKind.SERVER, attributes, start_time=start
        )
        if not span.is_recording():
            return
        span.set_attribute("http.response.header.x-request-id", [observation.request_id])
        if observation.status >= FAULT:
            span.set_status(StatusCode.ERROR)
        if observation.held:
            began = start + int(observation.held_after * NANOSECONDS)
            self._draw_use(observation, set_span_in_context(span, Context()), began)
        span.end(end)

    def observe_export(self, export: ExportObservation) -> None:
        """It was drawn when its answer began."""

    def close(self) -> threading.Thread:
        """Begin to send what is left; the thread to wait for, as long as one likes to."""
        closing = threading.Thread(target=self._shut_down, name="telemetry-close", daemon=True)
        closing.start()
        return closing

    def _shut_down(self) -> None:
        self._traces.shutdown()
        self._metrics.shutdown()

    def _draw_use(self, observation: Observation, parent: Context, began: int) -> None:
        """Draw what the request used the database for; its uses are as one."""
        route = observation.route
        summary = f"{route.operation} {route.table}" if route.table else route.operation
        attributes: dict[str, Any] = {
            "db.system.name": "postgresql",
            "db.operation.name": route.operation,
            "db.query.summary": summary,
            "lakebase_api.connection.waited": observation.waited,
        }
        if route.table:
            attributes["db.collection.name"] = route.table
        span = self._tracer.start_span(summary, parent, SpanKind.CLIENT, attributes, start_time=began)
        span.end(began + int(observation.held * NANOSECONDS))


class _TraceIds(RandomIdGenerator, threading.local):
    """Gives a span without a parent the trace that its request has had since it began."""

    next_one = 0

    def generate_trace_id(self) -> int:
        return self.next_one


def _describe_worker(name: str) -> Resource:
    """What all that a worker sends is of. Each worker is an instance of the service."""
    said = OTELResourceDetector().detect().attributes
    own = {"service.name": name, "service.version": __version__}
    return Resource.create({**own, **said, "service.instance.id": str(uuid.uuid4())})


def _describe(observation: Observation) -> dict[str, Any]:
    """A request by its route: never by its path, which has keys of rows."""
    attributes: dict[str, Any] = {
        "http.request.method": observation.method,
        "http.response.status_code": observation.status,
    }
    if observation.route.path:
        attributes["http.route"] = observation.route.path
    if observation.status >= FAULT:
        attributes["error.type"] = observation.problem or str(observation.status)
    return attributes


def _find_parent(trace: TraceContext) -> Context:
    if trace.parent_id is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if trace.is_sampled else TraceFlags.DEFAULT)
    parent = SpanContext(int(trace.trace_id, 16), int(trace.parent_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _observe_pool(meter: Meter, find_stats: Callable[[], Mapping[str, int]]) -> None:
    """https://opentelemetry.io/docs/specs/semconv/database/database-metrics/"""

    def count_connections(_: CallbackOptions) -> Iterable[Measured]:
        stats = find_stats()
        idle = stats["pool_available"]
        yield Measured(idle, {**POOL, "db.client.connection.state": "idle"})
        yield Measured(stats["pool_size"] - idle, {**POOL, "db.client.connection.state": "used"})

    def count_waiting(_: CallbackOptions) -> Iterable[Measured]:
        yield Measured(find_stats()["requests_waiting"], POOL)

    meter.create_observable_up_down_counter("db.client.connection.count", [count_connections], "{connection}")
    meter.create_observable_up_down_counter(
        "db.client.connection.pending_requests", [count_waiting], "{request}"
    )
