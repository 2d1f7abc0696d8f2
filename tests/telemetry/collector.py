"""A collector of OpenTelemetry that keeps what it is sent."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.waiting import wait_until


@dataclass(frozen=True)
class SentSpan:
    """A span with what it is of. Ids are hexadecimal, times in nanoseconds."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    begin: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """Takes traces and metrics by OTLP over HTTP on 127.0.0.1. A context manager."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[dict[str, str]] = []
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._build_handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def spans(self) -> list[SentSpan]:
        """All spans so far."""
        return [span for request in list(self._traces) for span in _read_spans(request)]

    def find_metric(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The points of a metric, each with what it is of and its own attributes."""
        return [point for request in list(self._metrics) for point in _read_points(request, name)]

    def wait_for_spans(self, holds: Callable[[list[SentSpan]], bool]) -> list[SentSpan]:
        """The spans, once they are as wanted."""
        wait_until(lambda: holds(self.spans))
        return self.spans

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.headers.append(headers)
        if self.status == 200:
            if path == "/v1/traces":
                self._traces.append(ExportTraceServiceRequest.FromString(body))
            else:
                assert path == "/v1/metrics"
                self._metrics.append(ExportMetricsServiceRequest.FromString(body))
        return self.status

    def _build_handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(take(self.path, dict(self.headers), body))
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Tests have their own output."""

        return Handler


def _read_spans(request: ExportTraceServiceRequest) -> Iterator[SentSpan]:
    for sent in request.resource_spans:
        resource = _read_attributes(sent.resource.attributes)
        for span in (span for scope in sent.scope_spans for span in scope.spans):
            yield SentSpan(
                span.name,
                span.kind,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                span.status.code,
                _read_attributes(span.attributes),
                resource,
            )


def _read_points(request: ExportMetricsServiceRequest, name: str) -> Iterator[tuple[dict[str, Any], Any]]:
    for sent in request.resource_metrics:
        resource = _read_attributes(sent.resource.attributes)
        for metric in (metric for scope in sent.scope_metrics for metric in scope.metrics):
            if metric.name == name:
                points = getattr(metric, str(metric.WhichOneof("data"))).data_points
                yield from (({**resource, **_read_attributes(point.attributes)}, point) for point in points)


def _read_attributes(attributes: Any) -> dict[str, Any]:
    return {each.key: _read_value(each) for each in attributes}


def _read_value(attribute: KeyValue) -> Any:
    kind = attribute.value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in attribute.value.array_value.values]
    return getattr(attribute.value, str(kind))
