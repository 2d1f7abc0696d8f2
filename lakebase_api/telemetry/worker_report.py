"""What one worker says of itself to the others."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lakebase_api.lakebase.freshness import FreshnessWatch
from lakebase_api.lakebase.service import Lakebase
from lakebase_api.telemetry.exports_under_way import ExportReport
from lakebase_api.telemetry.recent import RecentReport


class PoolReport(msgspec.Struct, frozen=True):
    """Connections: those that are open, in use, and allowed at most; and who waits for one."""

    open: int
    in_use: int
    most: int
    waiting: int


class TokenReport(msgspec.Struct, frozen=True):
    """The token that logs in, and how often there was a new one. ``fault`` is why there is none."""

    seconds_left: float | None
    # From when it was minted on.
    life: float | None
    minted: int
    fault: str | None


class ConnectReport(msgspec.Struct, frozen=True):
    """How connecting goes.

    ``away_seconds`` since when the database is away, if it is, for the reason ``fault``; ``wakes`` how often
    it came back; ``quiet_seconds`` since when nobody asked for a connection.
    """

    has_connected: bool
    away_seconds: float | None
    fault: str | None
    wakes: int
    quiet_seconds: float


class WorkerReport(msgspec.Struct, frozen=True):
    """All of it. ``token`` is there where one is needed; ``freshness`` is by table, ``cache`` of results."""

    number: int
    pid: int
    up_seconds: float
    is_draining: bool
    pool: PoolReport
    connects: ConnectReport
    token: TokenReport | None
    exports: Sequence[ExportReport]
    recent: RecentReport
    freshness: Mapping[str, Mapping[str, Any]] = {}
    cache: Mapping[str, float] = {}


def report_pool(lakebase: Lakebase) -> PoolReport:
    """How its pool is."""
    stats = lakebase.stats()
    size = stats["pool_size"]
    return PoolReport(size, size - stats["pool_available"], stats["pool_max"], stats["requests_waiting"])


def report_connects(lakebase: Lakebase) -> ConnectReport:
    """How connecting goes, without trying it."""
    now, connects = time.monotonic(), lakebase.pool.connects
    since = connects.failing_since
    return ConnectReport(
        connects.has_connected,
        None if since is None else now - since,
        lakebase.check_connect(),
        connects.wakes,
        now - lakebase.pool.asked_at,
    )


def report_freshness(watch: FreshnessWatch) -> Mapping[str, Mapping[str, Any]]:
    """What it knows of synced tables, by their names, without the workspace being asked."""
    return {
        table: {
            "as_of": known.copy.as_of,
            "source_version": known.copy.source_version,
            "is_current": known.is_current,
            "meaning": known.meaning,
        }
        for table, known in watch.list_known().items()
    }


def report_token(lakebase: Lakebase) -> TokenReport | None:
    """How its token is; ``None`` where a password logs in."""
    holder = lakebase.holder
    if holder is None:
        return None
    times, fault = holder.find_times(), lakebase.check_token()
    if times is None:
        return TokenReport(None, None, holder.minted, fault)
    return TokenReport(max(0.0, times.left), times.age + times.left, holder.minted, fault)
