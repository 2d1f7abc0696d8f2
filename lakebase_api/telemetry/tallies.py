"""Counts by hour, caller and route, and of them what is not written yet."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from lakebase_api.sql.usage_table import HOUR, UsageRow
from lakebase_api.telemetry.observation import Route

# What is counted apart in an hour, and of earlier ones what is not written; what is more counts as of OTHER.
# A worker has some 5 MB of it at the most, and adds so many rows to the table in an hour.
MOST_TALLIES = 10_000
OTHER = "(other)"
# Hours for which what cannot be written is kept.
HOURS_KEPT = 24


class Key(NamedTuple):
    """What is counted together. ``hour`` is counted since 1970, in UTC."""

    hour: int
    subject: str
    method: str
    route: str
    table: str | None
    status_class: int


class Tally(msgspec.Struct, gc=False):
    """What was counted. ``seconds`` and ``cost`` are sums."""

    requests: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cost: float = 0.0


NOTHING = Tally()


class TopCaller(NamedTuple):
    """What a caller had of a worker in the current hour. ``seconds`` is a sum."""

    subject: str
    requests: int
    rows: int
    seconds: float


class Tallies:
    """The tallies of one worker. Safe to share between threads. ``now`` gives the seconds since 1970."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        # Those of an hour that is over stay until they are written.
        self._tallies: dict[Key, Tally] = {}
        self._written: dict[Key, Tally] = {}
        self._swept_for = 0

    def count(
        self,
        subject: str,
        method: str,
        route: Route,
        status_class: int,
        requests: int,
        rows: int,
        size: int,
        seconds: float,
        cost: float,
    ) -> None:
        """Add to the tally of these in the current hour."""
        key = Key(int(self._now() // HOUR), subject, method, route.path, route.table, status_class)
        with self._lock:
            tally = self._tallies.get(key) or self._begin(key)
            tally.requests += requests
            tally.rows += rows
            tally.bytes += size
            tally.seconds += seconds
            tally.cost += cost

    def copy_unwritten(self) -> dict[Key, Tally]:
        """The tallies of the last ``HOURS_KEPT`` hours that are not written as they are now."""
        with self._lock:
            return {key: replace(tally) for key, tally in self._find_unwritten()}

    def list_unwritten(self) -> list[UsageRow]:
        """What of those is not written."""
        with self._lock:
            return self._subtract_written(self._find_unwritten())

    def list_rows(self, tallies: Mapping[Key, Tally]) -> list[UsageRow]:
        """What of these, which are not written, is not."""
        with self._lock:
            return self._subtract_written(tallies.items())

    def note_written(self, tallies: dict[Key, Tally]) -> None:
        """So much is written."""
        with self._lock:
            self._written |= tallies

    def top_callers(self, most: int) -> list[TopCaller]:
        """The callers with the most requests in the current hour, the first one first."""
        hour, sums = int(self._now() // HOUR), dict[str, Tally]()
        with self._lock:
            for key, tally in self._tallies.items():
                if key.hour == hour:
                    caller = sums.setdefault(key.subject, Tally())
                    caller.requests += tally.requests
                    caller.rows += tally.rows
                    caller.seconds += tally.seconds
        busiest = sorted(sums.items(), key=lambda item: -item[1].requests)[:most]
        return [TopCaller(subject, total.requests, total.rows, total.seconds) for subject, total in busiest]

    def _begin(self, key: Key) -> Tally:
        """A new tally, or where there is no room for one, that of all others."""
        if key.hour != self._swept_for:
            self._sweep(key.hour)
        if len(self._tallies) >= MOST_TALLIES:
            key = key._replace(subject=OTHER)
        return self._tallies.setdefault(key, Tally())

    def _sweep(self, hour: int) -> None:
        """Forget what is over and written, and what is too old."""
        self._swept_for = hour
        oldest = self._find_oldest()
        self._tallies = {
            key: tally
            for key, tally in self._tallies.items()
            if key.hour >= oldest and (key.hour == hour or tally != self._written.get(key))
        }
        self._written = {key: tally for key, tally in self._written.items() if key in self._tallies}

    def _find_unwritten(self) -> Iterator[tuple[Key, Tally]]:
        oldest = self._find_oldest()
        for key, tally in self._tallies.items():
            if key.hour >= oldest and tally != self._written.get(key):
                yield key, tally

    def _subtract_written(self, tallies: Iterable[tuple[Key, Tally]]) -> list[UsageRow]:
        return [_subtract(key, tally, self._written.get(key, NOTHING)) for key, tally in tallies]

    def _find_oldest(self) -> int:
        return int(self._now() // HOUR) - HOURS_KEPT + 1


def _subtract(key: Key, tally: Tally, written: Tally) -> UsageRow:
    return UsageRow(
        *key,
        tally.requests - written.requests,
        tally.rows - written.rows,
        tally.bytes - written.bytes,
        tally.seconds - written.seconds,
        tally.cost - written.cost,
    )
