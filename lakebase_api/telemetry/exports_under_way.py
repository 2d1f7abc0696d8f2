"""The exports that a worker is sending, and how far they are."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec


class ExportReport(msgspec.Struct, frozen=True):
    """An export as it can be sent: the rows so far, and the seconds it has taken."""

    table: str
    subject: str
    request_id: str
    rows: int
    seconds: float


@dataclass(eq=False)
class Progress:
    """How far an export is. Its thread alone raises ``rows``."""

    table: str
    subject: str
    request_id: str
    rows: int = 0
    began: float = field(default_factory=time.monotonic)


class ExportsUnderWay:
    """All of them. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[Progress] = set()

    @contextmanager
    def track(self, table: str, subject: str, request_id: str) -> Iterator[Progress]:
        """Have an export among them until it ends."""
        progress = Progress(table, subject, request_id)
        with self._lock:
            self._under_way.add(progress)
        try:
            yield progress
        finally:
            with self._lock:
                self._under_way.discard(progress)

    def report(self) -> list[ExportReport]:
        """What is known of each, the oldest first."""
        now = time.monotonic()
        with self._lock:
            under_way = sorted(self._under_way, key=lambda progress: progress.began)
        return [
            ExportReport(each.table, each.subject, each.request_id, each.rows, now - each.began)
            for each in under_way
        ]
