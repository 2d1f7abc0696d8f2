"""What sends spans and metrics to a collector of OpenTelemetry, with one line in the log for each outage."""

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from lakebase_api.redaction import keep_secret

logger = logging.getLogger(__name__)


class _Outage:
    """Says in the log when a collector begins to take nothing, and when it takes something again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_away = False

    def note(self, *, is_taken: bool) -> None:
        if is_taken and self._is_away:
            logger.info("Telemetry: the collector takes %s again", self._what)
        elif not is_taken and not self._is_away:
            logger.warning(
                "Telemetry: the collector takes no %s: they are lost until it does. LOG_LEVEL=DEBUG says why",
                self._what,
            )
        self._is_away = not is_taken


class SpanExporter(OTLPSpanExporter):
    """Sends spans, and says in the log when the collector takes none."""

    def __init__(self) -> None:
        super().__init__()
        self._outage = _Outage("traces")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them, tried again for as long as ``OTEL_EXPORTER_OTLP_TIMEOUT`` says."""
        result = super().export(spans)
        self._outage.note(is_taken=result is SpanExportResult.SUCCESS)
        return result


class MetricExporter(OTLPMetricExporter):
    """Sends metrics, and says in the log when the collector takes none."""

    def __init__(self) -> None:
        super().__init__()
        self._outage = _Outage("metrics")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Send them, tried again for as long as the timeouts say."""
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._outage.note(is_taken=result is MetricExportResult.SUCCESS)
        return result


def keep_header_secrets(headers: str | None) -> None:
    """Keep the values of headers, ``name=value,…`` with what URLs escape, out of the log."""
    for header in (headers or "").split(","):
        value = unquote(header.partition("=")[2]).strip()
        keep_secret(value)
        # As of "Bearer …".
        keep_secret(value.rpartition(" ")[2])
