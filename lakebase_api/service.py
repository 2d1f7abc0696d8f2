"""What a running service holds open."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from threading import Thread

import msgspec
from apscheduler.schedulers.background import BackgroundScheduler

from lakebase_api import __version__
from lakebase_api.access.audit import SERVICE, Audit, AuditStore, StartRecord
from lakebase_api.access.authenticator import Authenticator
from lakebase_api.access.caller import Caller
from lakebase_api.access.key_file import read_key_file
from lakebase_api.access.key_ring import KeyRing
from lakebase_api.access.key_table import TableKeys
from lakebase_api.access.rate_limit import RateLimit
from lakebase_api.addresses import is_open_to_others
from lakebase_api.doctor.examination import Examination
from lakebase_api.http.audit_operations import declare_audit
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.result_cache import ResultCache
from lakebase_api.http.status import LEFT_OUT
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.freshness import FreshnessWatch
from lakebase_api.lakebase.service import Lakebase, build_ask
from lakebase_api.lakebase.write_behind import INTERVAL
from lakebase_api.settings import Settings
from lakebase_api.sql.audit_table import AuditAction, Event
from lakebase_api.sql.overlay import Overlays
from lakebase_api.sql.own_tables import AUDIT_TABLE
from lakebase_api.table.declaration import Table
from lakebase_api.telemetry import families
from lakebase_api.telemetry.exports_under_way import ExportsUnderWay
from lakebase_api.telemetry.exposition import Exposition
from lakebase_api.telemetry.families import Labels
from lakebase_api.telemetry.gauges import Gauges, register_gauges
from lakebase_api.telemetry.metrics import Metrics
from lakebase_api.telemetry.metrics_server import MetricsServer
from lakebase_api.telemetry.observation import Observer
from lakebase_api.telemetry.peers import Peers, State
from lakebase_api.telemetry.recent import Recent
from lakebase_api.telemetry.trace_context import new_id
from lakebase_api.telemetry.traffic import REPORT_INTERVAL, Traffic, TrafficReport
from lakebase_api.telemetry.usage import Usage, UsageStore
from lakebase_api.telemetry.usage_report import ROWS, UsageReports
from lakebase_api.telemetry.worker_folder import WorkerFolder
from lakebase_api.telemetry.worker_report import (
    WorkerReport,
    report_connects,
    report_freshness,
    report_pool,
    report_token,
)

logger = logging.getLogger(__name__)

MEND = "Install requirements-otel.txt, or lakebase-api[otel]"
# Seconds for what was not sent yet, at the end of a worker: it has one for everything.
CLOSING_TIME = 0.8


class Service:
    """What an app holds open: the way to Lakebase, and the scheduler of what runs by itself."""

    def __init__(self, settings: Settings, tables: Sequence[Table]) -> None:
        self.settings = settings
        self.tables = tables
        self.audit_table = declare_audit(settings.status_schema)
        self.overlays = Overlays(tables, settings.status_schema)
        self.traffic = Traffic()
        self.rate_limit = RateLimit()
        self.folder = WorkerFolder()
        self.peers = Peers(self._describe_worker)
        self.recent = Recent(LEFT_OUT)
        self.exports = ExportsUnderWay()
        self.metrics = Metrics()
        self.cache = ResultCache(
            settings,
            lambda outcome: self.metrics.count(families.CACHE_REQUESTS, (outcome,)),
            lambda: self.metrics.count(families.CACHE_EVICTIONS),
        )
        self.gauges = Gauges()
        self.exposition = Exposition(lambda: self.folder.path, self.peers.ask_all)
        self.metrics_server = MetricsServer(settings.metrics_bind, self.exposition.write)
        self._close_telemetry: Callable[[], Thread] | None = None
        self._number = 0
        self._opened_at = time.monotonic()
        self._is_stopping: Callable[[], bool] = lambda: False
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # The default drops a job that is a second late.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._start = StartRecord(
            settings.status_schema,
            _describe_start(settings, tables),
            lambda event: self.audit.record(event),
        )
        self.lakebase = Lakebase(
            settings,
            self._scheduler,
            current_exchange,
            Examination(settings, tables),
            self._greet,
            (AUDIT_TABLE.name,),
            self.metrics,
        )
        store = AuditStore(self.lakebase.database, settings.status_schema)
        self.audit = Audit(store.write, lambda: self.lakebase.pool.asked_at)
        usage_store = UsageStore(self.lakebase.database, settings.status_schema)
        self.usage = Usage(usage_store.add, lambda: self.lakebase.pool.asked_at)
        self.usage_peers = Peers(lambda: {ROWS: self.usage.list_unwritten()}, "usage")
        self.usage_reports = UsageReports(
            self.lakebase.database,
            settings.status_schema,
            self.usage_peers.ask_all,
            lambda: self.usage.is_failing,
        )
        # Of each request.
        self.observers: list[Observer] = [self.traffic, self.metrics, self.usage, self.recent]
        synced = {table.name: table.synced_table for table in tables if table.synced_table}
        self.freshness = FreshnessWatch(
            synced, build_ask(settings) if synced else None, settings.freshness_warn
        )
        self._register_gauges()
        self.authenticator = Authenticator(settings, self._build_key_ring(), self._build_check())
        self._report = TrafficReport(self.traffic, self.lakebase.stats)

    def _register_gauges(self) -> None:
        register_gauges(self.gauges, self.lakebase, self.metrics)
        self.gauges.register(families.CACHE_BYTES, lambda: {(): self.cache.use.bytes})
        self.gauges.register(families.CACHE_ANSWERS, lambda: {(): self.cache.use.answers})
        self.gauges.register(families.FRESHNESS_AGE, self._find_ages)
        self.gauges.register(families.FRESHNESS_CURRENT, self._find_current)

    def _find_ages(self) -> Mapping[Labels, float]:
        now = datetime.now(UTC)
        ages = {name: known.find_age(now) for name, known in self.freshness.list_known().items()}
        return {(name,): age for name, age in ages.items() if age is not None}

    def _find_current(self) -> Mapping[Labels, float]:
        known = self.freshness.list_known().items()
        return {(name,): float(each.is_current) for name, each in known if each.is_current is not None}

    def _greet(self, connection: Connection) -> None:
        self.overlays.find_or_make(connection)
        self._start.write(connection)

    def _build_key_ring(self) -> KeyRing:
        file = self.settings.api_keys_file
        if file:
            return KeyRing(lambda used: read_key_file(file))
        schema, time_limit = self.settings.status_schema, self.settings.request_timeout
        return KeyRing(TableKeys(self.lakebase.database, schema, time_limit).load)

    def _build_check(self) -> Callable[[str, float], Caller] | None:
        if not self.settings.jwt_issuer:
            return None
        # Imports PyJWT and what checks signatures, which a service without tokens does without.
        from lakebase_api.access.tokens import build_tokens

        return build_tokens(self.settings).check

    def note_addresses(self, addresses: Iterable[str]) -> None:
        """Take over where the server listens, which may not be where the settings say. Call it at first."""
        self.authenticator.note_reach(is_open=any(map(is_open_to_others, addresses)))

    def prepare(self) -> None:
        """Make what workers have in common. Call it before the fork; once is enough. Raises ``OSError``."""
        self.rate_limit.open()
        self.folder.open()

    def open(self, is_stopping: Callable[[], bool] = lambda: False, number: int = 0) -> None:
        """Start the threads and connections; returns at once. Call it after the fork.

        ``is_stopping`` says whether the process is about to end, which makes it not ready. Of the workers
        that run at once each has another ``number``, from 0 on.
        """
        self._is_stopping = is_stopping
        self._number = number
        self._opened_at = time.monotonic()
        self.prepare()
        self.metrics.open(self.folder.path, number)
        self.peers.open(self.folder.path, number)
        self.metrics_server.open(self.folder.path)
        self._open_telemetry()
        self.usage_peers.open(self.folder.path, number)
        self._scheduler.add_job(self._report.log, "interval", seconds=REPORT_INTERVAL)
        self._scheduler.add_job(self.audit.write, "interval", seconds=INTERVAL)
        self._scheduler.add_job(self.usage.write, "interval", seconds=INTERVAL)
        self._scheduler.start()
        self.lakebase.open()
        self.freshness.open(self.folder.path)
        logger.info("Application startup complete")

    def close(self) -> None:
        """End the threads and connections."""
        # Waiting would be for ever: a job that sets its next run needs the lock that waiting holds.
        self._scheduler.shutdown(wait=False)
        closing = self._close_telemetry and self._close_telemetry()
        self.freshness.close()
        self.audit.close()
        self.usage.close()
        self.lakebase.close()
        self.metrics_server.close()
        self.peers.close()
        self.usage_peers.close()
        self.metrics.close()
        self.rate_limit.close()
        self.folder.close()
        if closing:
            closing.join(CLOSING_TIME)

    def _open_telemetry(self) -> None:
        """Send traces and metrics from now on, if the settings name a collector."""
        settings = self.settings
        if not settings.otlp_endpoint:
            return
        try:
            # Imports the SDK, which a service that sends nothing does without.
            from lakebase_api.telemetry.otlp import OpenTelemetry
        except ImportError as error:
            logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is sent: %s. %s", error, MEND)
            return
        name = settings.app_name or settings.pg_appname
        telemetry = OpenTelemetry(name, settings.otlp_headers, self.lakebase.stats)
        self.observers.append(telemetry)
        self._close_telemetry = telemetry.close

    def _describe_worker(self) -> State:
        """How this worker is doing, for others to show; asked for by any of them."""
        report = WorkerReport(
            number=self._number,
            pid=os.getpid(),
            up_seconds=time.monotonic() - self._opened_at,
            is_draining=self.check_draining() is not None,
            pool=report_pool(self.lakebase),
            connects=report_connects(self.lakebase),
            token=report_token(self.lakebase),
            exports=self.exports.report(),
            recent=self.recent.report(),
            freshness=report_freshness(self.freshness),
            cache=self._describe_cache(),
        )
        return {**msgspec.to_builtins(report), "gauges": self.gauges.read()}

    def _describe_cache(self) -> dict[str, int]:
        """What it keeps, and how answers came about; empty where nothing is kept."""
        if not self.settings.result_cache_size:
            return {}
        outcomes = {str(outcome): number for outcome, number in self.cache.outcomes.items()}
        return asdict(self.cache.use) | outcomes

    def check_draining(self) -> str | None:
        """Why new connections should go elsewhere, or ``None``."""
        return "the service is stopping" if self._is_stopping() else None


def _describe_start(settings: Settings, tables: Sequence[Table]) -> Event:
    """That a server starts; all of its workers have this event. Of secrets it says only that they are set."""
    detail = {
        "settings": settings.describe(),
        "tables": [table.name for table in tables],
        "version": __version__,
    }
    return Event(AuditAction.START, SERVICE, socket.gethostname(), request_id=new_id(), detail=detail)
