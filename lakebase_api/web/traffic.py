"""Counts responses, and once a minute says how the service is doing."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

REPORT_INTERVAL = 60


class Traffic:
    """Responses by status since the last report. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()

    def count(self, status: int) -> None:
        """Count one response."""
        with self._lock:
            self._statuses[status] += 1

    def take(self) -> Counter[int]:
        """The responses since the last call, by status."""
        with self._lock:
            taken, self._statuses = self._statuses, Counter()
        return taken


class TrafficReport:
    """Logs one line about the pool, the tokens and the requests; nothing when there were none.

    ``pool_stats`` gives psycopg_pool's counters, ``tokens_minted`` how many tokens were minted so far.
    """

    def __init__(
        self,
        traffic: Traffic,
        pool_stats: Callable[[], Mapping[str, int]],
        tokens_minted: Callable[[], int],
    ) -> None:
        self._traffic = traffic
        self._pool_stats = pool_stats
        self._tokens_minted = tokens_minted

    def log(self) -> None:
        """Log the line, if there was traffic since the last one."""
        statuses = self._traffic.take()
        if not statuses:
            return
        stats = self._pool_stats()
        size = stats["pool_size"]
        logger.info(
            "Traffic: pool_size=%d in_use=%d waiting=%d timeouts=%d tokens_minted=%d requests=%d %s",
            size,
            size - stats["pool_available"],
            stats["requests_waiting"],
            stats.get("requests_errors", 0),
            self._tokens_minted(),
            statuses.total(),
            " ".join(f"status_{status}={count}" for status, count in sorted(statuses.items())),
        )
