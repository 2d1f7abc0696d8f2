"""Counts what a worker does, where all workers of a server find it."""

import contextlib
import logging
import threading
from bisect import bisect_left
from pathlib import Path

import msgspec

from lakebase_api.telemetry import families
from lakebase_api.telemetry.families import FAMILIES, Family, Labels
from lakebase_api.telemetry.metric_file import SCRAP, WIDTH, MetricFile
from lakebase_api.telemetry.observation import ExportObservation, Observation
from lakebase_api.telemetry.wakes import Wakes

logger = logging.getLogger(__name__)

PATTERN = "worker-*.metrics"


class Metrics:
    """What one worker has counted: an observer of requests, and the meter of the way to the database.

    Safe to share between threads. ``open`` it after the fork; what is told before is not counted. The file of
    a worker is that of its number, so that one that takes its place goes on from there.
    """

    def __init__(self) -> None:
        # One lock for all numbers: it is held for about a microsecond, and so costs less than one for each.
        self._lock = threading.Lock()
        self._file: MetricFile | None = None
        self._wakes: Wakes | None = None
        self._places: dict[tuple[Family, Labels], int] = {}
        self._numbers = memoryview(bytearray(WIDTH * 64)).cast("d")
        self._is_full = False
        self._active = 0

    def open(self, folder: Path, number: int) -> None:
        """Count from now on, as the worker of this number. Raises ``OSError``."""
        with self._lock:
            self._wakes = Wakes(folder)
            self._file = MetricFile(folder / PATTERN.replace("*", str(number)))
            self._places.clear()
            for family in FAMILIES:
                for labels in family.known:
                    self._find(family, labels)

    def close(self) -> None:
        """Count no more."""
        with self._lock:
            file, self._file = self._file, None
            self._places.clear()
            if file:
                file.close()

    @property
    def active(self) -> int:
        """How many requests have begun and are not answered yet."""
        return self._active

    def count(self, family: Family, labels: Labels = (), by: float = 1.0) -> None:
        """Add to a counter."""
        with self._lock:
            self._add(family, labels, by)

    def time(self, family: Family, seconds: float, labels: Labels = ()) -> None:
        """Add a duration to a histogram."""
        with self._lock:
            self._time(family, seconds, labels)

    def begin(self) -> None:
        """As ``Observer`` has it."""
        with self._lock:
            self._active += 1

    def observe(self, observation: Observation) -> None:
        """As ``Observer`` has it."""
        route, held, problem = observation.route, observation.held, observation.problem
        labels = (observation.method, route.path, observation.status)
        with self._lock:
            self._active -= 1
            self._time(families.REQUEST_DURATION, observation.seconds, labels)
            if held:
                self._time(families.OPERATION_DURATION, held, (route.operation,))
            if problem:
                self._add(families.REJECTED, (problem,), 1.0)

    def observe_export(self, export: ExportObservation) -> None:
        """As ``Observer`` has it."""
        table = export.route.table or ""
        with self._lock:
            self._add(families.EXPORTS, (table, export.outcome), 1.0)
            self._add(families.EXPORT_ROWS, (table,), export.rows)

    def note_use(self, waited: float, held: float) -> None:
        """As ``Meter`` has it."""
        with self._lock:
            self._time(families.CONNECTION_WAIT, waited, ())
            self._time(families.CONNECTION_USE, held, ())

    def note_no_connection(self, waited: float) -> None:
        """As ``Meter`` has it."""
        with self._lock:
            self._time(families.CONNECTION_WAIT, waited, ())
            self._add(families.CONNECTION_TIMEOUTS, (), 1.0)

    def note_connect(self, seconds: float) -> None:
        """As ``Meter`` has it."""
        self.time(families.CONNECTION_CREATE, seconds)

    def note_wake(self, began: float, ended: float) -> None:
        """As ``Meter`` has it."""
        with contextlib.suppress(OSError):  # the server is about to end, and has taken its folder away
            if self._wakes and self._wakes.is_first(began, ended):
                self.count(families.WAKES)
                self.time(families.WAKE_DURATION, ended - began)

    def note_retry(self) -> None:
        """As ``Meter`` has it."""
        self.count(families.RETRIES)

    def note_refresh(self, *, succeeded: bool) -> None:
        """As ``Meter`` has it."""
        self.count(families.TOKEN_REFRESHES, ("success" if succeeded else "failure",))

    def note_replica(self, outcome: str) -> None:
        """As ``Meter`` has it."""
        self.count(families.REPLICA_READS, (outcome,))

    def _add(self, family: Family, labels: Labels, by: float) -> None:
        place = self._places.get((family, labels)) or self._find(family, labels)
        self._numbers[place] += by

    def _time(self, family: Family, seconds: float, labels: Labels) -> None:
        place = self._places.get((family, labels)) or self._find(family, labels)
        numbers, bounds = self._numbers, family.bounds
        numbers[place + bisect_left(bounds, seconds)] += 1.0
        numbers[place + len(bounds) + 1] += seconds

    def _find(self, family: Family, labels: Labels) -> int:
        """Where its numbers are. What finds no room is not counted."""
        if self._file is None:
            return SCRAP
        try:
            place = self._file.find(spell_key(family, labels), family.numbers)
        except OSError as error:
            if not self._is_full:
                logger.warning("Metrics: there is no room for more: %s", error)
            self._is_full, place = True, SCRAP
        self._numbers = self._file.numbers
        self._places[family, labels] = place
        return place


def spell_key(family: Family, labels: Labels) -> bytes:
    """What its numbers are known by."""
    return msgspec.json.encode([family.name, *labels])
