"""Every metric, declared once: its name, labels and meaning.

Names, labels and buckets are those of OpenTelemetry's semantic conventions, as Prometheus spells them, where
there is one. https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ and
https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

# Values of a family's labels, in their order.
Labels = tuple[str | int, ...]
# What is made of the values of a gauge that several workers give.
Merge = Callable[[Iterable[float]], float]


class Kind(StrEnum):
    """What its numbers are, as Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, eq=False)
class Family:
    """A metric.

    ``bounds`` are those of a histogram's buckets. ``known`` are labels that are there from the start, at 0:
    Prometheus sees no rise from nothing to 1.
    """

    kind: Kind
    name: str
    help: str
    labels: Sequence[str] = ()
    bounds: Sequence[float] = ()
    known: Sequence[Labels] = ()
    merge: Merge = sum

    @property
    def numbers(self) -> int:
        """How many numbers are kept for each combination of labels: of a histogram the sum is the last."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
DATABASE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
WAKE_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ALONE: Sequence[Labels] = ((),)

REQUEST_DURATION = Family(
    Kind.HISTOGRAM,
    "http_server_request_duration_seconds",
    "Seconds until the head of an answer was sent, by method, path of the OpenAPI document and status.",
    ("http_request_method", "http_route", "http_response_status_code"),
    REQUEST_SECONDS,
)
ACTIVE_REQUESTS = Family(
    Kind.GAUGE, "http_server_active_requests", "Requests that have begun and are not answered yet."
)
REJECTED = Family(
    Kind.COUNTER,
    "requests_rejected_total",
    "Answers that are problems, by the last part of the problem's type.",
    ("problem",),
)
OPERATION_DURATION = Family(
    Kind.HISTOGRAM,
    "db_client_operation_duration_seconds",
    "Seconds for which a request held connections to the database, by operationId.",
    ("db_operation_name",),
    DATABASE_SECONDS,
)
CONNECTIONS = Family(
    Kind.GAUGE,
    "db_client_connection_count",
    "Connections of the pools, idle and in use.",
    ("state",),
)
CONNECTIONS_MOST = Family(Kind.GAUGE, "db_client_connection_max", "Connections that the pools may have.")
CONNECTIONS_PENDING = Family(
    Kind.GAUGE, "db_client_connection_pending_requests", "Requests that wait for a connection."
)
CONNECTION_TIMEOUTS = Family(
    Kind.COUNTER,
    "db_client_connection_timeouts_total",
    "How often whoever waited for a connection got none.",
    known=ALONE,
)
CONNECTION_WAIT = Family(
    Kind.HISTOGRAM,
    "db_client_connection_wait_time_seconds",
    "Seconds for which a connection of the pool was waited for, also in vain.",
    bounds=DATABASE_SECONDS,
    known=ALONE,
)
CONNECTION_USE = Family(
    Kind.HISTOGRAM,
    "db_client_connection_use_time_seconds",
    "Seconds from borrowing a connection to giving it back.",
    bounds=DATABASE_SECONDS,
    known=ALONE,
)
CONNECTION_CREATE = Family(
    Kind.HISTOGRAM,
    "db_client_connection_create_time_seconds",
    "Seconds that it took to open a connection.",
    bounds=DATABASE_SECONDS,
    known=ALONE,
)
TOKEN_EXPIRES = Family(
    Kind.GAUGE,
    "lakebase_token_expires_seconds",
    "Seconds until the database token expires, below 0 since it has; of the worker whose token does first.",
    merge=min,
)
TOKEN_AGE = Family(
    Kind.GAUGE,
    "lakebase_token_age_seconds",
    "Seconds since the oldest of the tokens was made.",
    merge=max,
)
TOKEN_REFRESHES = Family(
    Kind.COUNTER,
    "lakebase_token_refreshes_total",
    "How often the workspace was asked for a token, by what came of it.",
    ("result",),
    known=(("success",), ("failure",)),
)
REPLICA_READS = Family(
    Kind.COUNTER,
    "lakebase_replica_reads_total",
    "Reads that a replica was to answer, by what came of it; all but `answered` went to the primary.",
    ("result",),
    known=(("answered",), ("behind",), ("away",), ("failed",)),
)
WAKES = Family(
    Kind.COUNTER,
    "lakebase_wakes_total",
    "How often the database was away and came back, however many workers noticed.",
    known=ALONE,
)
WAKE_DURATION = Family(
    Kind.HISTOGRAM,
    "lakebase_wake_duration_seconds",
    "Seconds for which it was away: from the first connect that failed or was slow to one that succeeded.",
    bounds=WAKE_SECONDS,
    known=ALONE,
)
RETRIES = Family(Kind.COUNTER, "lakebase_retries_total", "How often a query was tried again.", known=ALONE)
EXPORTS = Family(
    Kind.COUNTER, "exports_total", "Exports that have ended, by table and how.", ("table", "outcome")
)
EXPORT_ROWS = Family(Kind.COUNTER, "export_rows_total", "Rows that exports have sent, by table.", ("table",))
EXPORTS_RUNNING = Family(Kind.GAUGE, "exports_running", "Exports under way.")
CACHE_REQUESTS = Family(
    Kind.COUNTER,
    "result_cache_requests_total",
    "Reads whose answers are kept in memory, by how they were answered.",
    ("outcome",),
    known=(("hit",), ("validated",), ("collapsed",), ("stale",), ("miss",)),
)
CACHE_EVICTIONS = Family(
    Kind.COUNTER,
    "result_cache_evictions_total",
    "Answers that made room in memory for others.",
    known=ALONE,
)
CACHE_BYTES = Family(Kind.GAUGE, "result_cache_bytes", "Bytes that answers in memory take.")
CACHE_ANSWERS = Family(Kind.GAUGE, "result_cache_answers", "Answers in memory.")
FRESHNESS_AGE = Family(
    Kind.GAUGE,
    "synced_table_age_seconds",
    "Seconds since the commit of its source that a synced table shows, by table.",
    ("table",),
    merge=min,
)
FRESHNESS_CURRENT = Family(
    Kind.GAUGE,
    "synced_table_current",
    "1 if nothing newer than what a synced table shows exists in its source, else 0; absent if not known.",
    ("table",),
    merge=max,
)
WORKERS = Family(
    Kind.GAUGE, "workers", "Worker processes, by whether one answered the others when asked.", ("state",)
)
BUILD = Family(
    Kind.GAUGE, "build_info", "Always 1; the label is the version that runs.", ("version",), merge=max
)

# In the order in which they are told. What is counted anew has its line here.
FAMILIES: Sequence[Family] = (
    REQUEST_DURATION,
    ACTIVE_REQUESTS,
    REJECTED,
    OPERATION_DURATION,
    CONNECTIONS,
    CONNECTIONS_MOST,
    CONNECTIONS_PENDING,
    CONNECTION_TIMEOUTS,
    CONNECTION_WAIT,
    CONNECTION_USE,
    CONNECTION_CREATE,
    TOKEN_EXPIRES,
    TOKEN_AGE,
    TOKEN_REFRESHES,
    REPLICA_READS,
    WAKES,
    WAKE_DURATION,
    RETRIES,
    EXPORTS,
    EXPORT_ROWS,
    EXPORTS_RUNNING,
    CACHE_REQUESTS,
    CACHE_EVICTIONS,
    CACHE_BYTES,
    CACHE_ANSWERS,
    FRESHNESS_AGE,
    FRESHNESS_CURRENT,
    WORKERS,
    BUILD,
)
