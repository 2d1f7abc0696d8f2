"""Counts responses, and once a minute says how the service is doing."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from lakebase_api.telemetry.observation import ExportObservation, Observation

logger = logging.getLogger(__name__)

REPORT_INTERVAL = 60


class Traffic:
    """Responses by status since the last report. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()

    def begin(self) -> None:
        """It is counted when it is answered."""

    def observe(self, observation: Observation) -> None:
        """Count one response."""
        with self._lock:
            self._statuses[observation.status] += 1

    def observe_export(self, export: ExportObservation) -> None:
        """It was counted when it began."""

    def take(self) -> Counter[int]:
        """The responses since the last call, by status."""
        with self._lock:
            taken, self._statuses = self._statuses, Counter()
        return taken


class TrafficReport:
    """Logs one line about the pool, the tokens and the requests; nothing when there were none.

    ``find_stats`` gives psycopg_pool's counters, and ``tokens_minted`` and ``retries`` so far.
    """

    def __init__(
        self,
        traffic: Traffic,
        find_stats: Callable[[], Mapping[str, int]],
    ) -> None:
        self._traffic = traffic
        self._find_stats = find_stats

    def log(self) -> None:
        """Log the line, if there was traffic since the last one."""
        statuses = self._traffic.take()
        if not statuses:
            return
        stats = self._find_stats()
        size = stats["pool_size"]
        logger.info(
            "Traffic: pool_size=%d in_use=%d waiting=%d timeouts=%d tokens_minted=%d retries=%d "
            "requests=%d %s",
            size,
            size - stats["pool_available"],
            stats["requests_waiting"],
            stats.get("requests_errors", 0),
            stats["tokens_minted"],
            stats["retries"],
            statuses.total(),
            " ".join(f"status_{status}={count}" for status, count in sorted(statuses.items())),
        )
