"""Composes the service: the only module that knows every other one."""

import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from functools import partial
from threading import BoundedSemaphore
from wsgiref.types import WSGIApplication

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from lakebase_api import __version__
from lakebase_api.access.audit import INTERVAL, SERVICE, Audit, AuditStore, StartRecord
from lakebase_api.access.authenticator import Authenticator
from lakebase_api.access.caller import Caller
from lakebase_api.access.key_file import read_key_file
from lakebase_api.access.key_ring import KeyRing
from lakebase_api.access.key_table import TableKeys
from lakebase_api.access.rate_limit import RateLimit, parse_policy
from lakebase_api.access.rights import Rights
from lakebase_api.addresses import is_open_to_others
from lakebase_api.doctor.examination import Examination
from lakebase_api.http.audit_operations import declare_audit, list_audit_operations
from lakebase_api.http.auditing import ExportAudit, register_audit
from lakebase_api.http.authentication import require_callers
from lakebase_api.http.authorization import TableOperations, build_admit, require_rights
from lakebase_api.http.base_path import serve_at_both_bases
from lakebase_api.http.change_texts import ChangeTexts
from lakebase_api.http.changes import Changes
from lakebase_api.http.cors import allow_origins
from lakebase_api.http.cursors import CursorCodec, derive_secret
from lakebase_api.http.documentation import register_documentation
from lakebase_api.http.exporting import Exports
from lakebase_api.http.exports import ExportView
from lakebase_api.http.index import register_home
from lakebase_api.http.me import register_me
from lakebase_api.http.operation import Operation
from lakebase_api.http.path_segments import keep_encoded_slashes
from lakebase_api.http.probes import register_probes
from lakebase_api.http.problem_types import list_problem_types
from lakebase_api.http.problems import register_problems
from lakebase_api.http.proxies import allow_hosts, trust_proxies
from lakebase_api.http.quota import limit_callers
from lakebase_api.http.reads import Reads
from lakebase_api.http.request_context import current_exchange, new_id, register_exchange
from lakebase_api.http.resource import Resource
from lakebase_api.http.table_operations import list_operations
from lakebase_api.http.traffic import REPORT_INTERVAL, Traffic, TrafficReport
from lakebase_api.http.validation import GREATEST_BODY
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.service import Lakebase
from lakebase_api.settings import Settings
from lakebase_api.sql.audit_table import TABLE as AUDIT
from lakebase_api.sql.audit_table import AuditAction, Event
from lakebase_api.sql.counting import TableCounts, build_slots
from lakebase_api.sql.export_chunks import ExportChunks
from lakebase_api.sql.overlay import Overlay, Overlays
from lakebase_api.sql.table_database import TableDatabase
from lakebase_api.table.declaration import Table
from lakebase_api.table.types import Kind

logger = logging.getLogger(__name__)


class Service:
    """What an app holds open: the way to Lakebase, and the scheduler of what runs by itself."""

    def __init__(self, settings: Settings, tables: Sequence[Table]) -> None:
        self.settings = settings
        self.tables = tables
        self.audit_table = declare_audit(settings.status_schema)
        self.overlays = Overlays(tables, settings.status_schema)
        self.traffic = Traffic()
        self.rate_limit = RateLimit()
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
            (AUDIT,),
        )
        store = AuditStore(self.lakebase.database, settings.status_schema)
        self.audit = Audit(store.write, lambda: self.lakebase.pool.asked_at)
        self.authenticator = Authenticator(settings, self._build_key_ring(), self._build_check())
        self._report = TrafficReport(self.traffic, self.lakebase.stats)

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

    def open(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Start the threads and connections; returns at once. Call it after the fork.

        ``is_stopping`` says whether the process is about to end, which makes it not ready.
        """
        self._is_stopping = is_stopping
        self.rate_limit.open()
        self._scheduler.add_job(self._report.log, "interval", seconds=REPORT_INTERVAL)
        self._scheduler.add_job(self.audit.write, "interval", seconds=INTERVAL)
        self._scheduler.start()
        self.lakebase.open()
        logger.info("Application startup complete")

    def close(self) -> None:
        """End the threads and connections."""
        # Waiting would be for ever: a job that sets its next run needs the lock that waiting holds.
        self._scheduler.shutdown(wait=False)
        self.audit.close()
        self.lakebase.close()
        self.rate_limit.close()

    def check_draining(self) -> str | None:
        """Why new connections should go elsewhere, or ``None``."""
        return "the service is stopping" if self._is_stopping() else None


def create_app(settings: Settings, tables: Sequence[Table], rights: Rights | None = None) -> Flask:
    """The application that serves these tables, to callers who have these rights.

    Without a file of rights callers have those that the settings give all of them. Does no I/O and starts no
    thread: ``get_service(app).open()`` does.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = GREATEST_BODY
    # A path with doubled slashes is another path, not one to redirect from.
    app.url_map.merge_slashes = False
    served = _serve_where_clients_ask(app.wsgi_app, settings)
    if any(column.type.kind is Kind.TEXT for table in tables for column in table.key):
        served = keep_encoded_slashes(served)
    app.wsgi_app = served  # type: ignore[assignment,method-assign]
    service = app.extensions["lakebase_api"] = Service(settings, tables)
    allow_origins(app, settings)
    register_exchange(app, service.traffic, settings.request_timeout)
    rights = rights or Rights(anonymous=settings.anonymous)
    register_audit(app, service.audit, [AUDIT, *(table.name for table in tables)])
    require_callers(app, service.authenticator, rights, service.rate_limit)
    default = parse_policy("caller", settings.rate_limit) if settings.rate_limit else None
    limit_callers(app, service.rate_limit, lambda caller: rights.find_quota(caller) or default)
    _register_routes(app, service, rights)
    return app


def _serve_where_clients_ask(app: WSGIApplication, settings: Settings) -> WSGIApplication:
    """The app at both bases, below the prefix of the proxies in front, at the hosts that are allowed."""
    based = serve_at_both_bases(app)
    if settings.allowed_hosts:
        based = allow_hosts(based, settings.allowed_hosts)
    if not settings.trusted_hops:
        return based
    # Databricks Apps is https for everybody, but its proxy is not documented to say so.
    # https://docs.databricks.com/aws/en/dev-tools/databricks-apps/http-headers
    return trust_proxies(based, settings.trusted_hops, scheme="https" if settings.app_name else None)


def _describe_start(settings: Settings, tables: Sequence[Table]) -> Event:
    """That a server starts; all of its workers have this event. Of secrets it says only that they are set."""
    detail = {
        "settings": settings.describe(),
        "tables": [table.name for table in tables],
        "version": __version__,
    }
    return Event(AuditAction.START, SERVICE, socket.gethostname(), request_id=new_id(), detail=detail)


def get_service(app: Flask) -> Service:
    """What the app holds open."""
    service: Service = app.extensions["lakebase_api"]
    return service


def _register_routes(app: Flask, service: Service, rights: Rights) -> None:
    settings, lakebase = service.settings, service.lakebase
    problem_types = list_problem_types([*service.tables, service.audit_table])
    open_needs = rights.find_open(service.authenticator.stranger)
    document = register_documentation(app, service.tables, problem_types, open_needs)
    register_home(app, service.tables, problem_types, rights)
    secret, slots = derive_secret(settings), build_slots(settings)
    for table, overlay in service.overlays.by_table.items():
        build = partial(_build_operations, service, overlay, secret, slots)
        operations = TableOperations(rights, table, build)
        Resource(table).serve(app, document, operations.all, operations.admit)
    own = service.audit_table
    build_own = partial(_build_operations, service, Overlay(own, settings.status_schema), secret, slots)
    of_audit = list_audit_operations(own, build_own(own))
    Resource(own).serve(app, document, of_audit, build_admit(rights))
    register_me(app, document, rights, service.tables)
    deciding = {
        "token": lakebase.check_token,
        "database": lakebase.check_connect,
        "draining": service.check_draining,
    }
    if len(service.tables) > 1:
        deciding["tables"] = lakebase.check_tables
    register_probes(app, document, build_admit(rights), deciding, lakebase.tell_tables)
    require_rights(app, document, reads_credentials=service.authenticator.reads_credentials)
    # After flask-smorest, whose own error handlers these replace.
    register_problems(app)


def _build_operations(
    service: Service, overlay: Overlay, secret: bytes, slots: BoundedSemaphore, table: Table
) -> Sequence[Operation]:
    """The operations of a declared table, or of what of it is left to callers to whom columns are hidden."""
    settings, resource = service.settings, Resource(table)
    database = TableDatabase(service.lakebase.database, overlay, table)
    counts = TableCounts(database, settings, slots)
    return list_operations(
        Reads(resource, database, counts, CursorCodec(secret, table)),
        Changes(ChangeTexts(resource), database, settings),
        ExportView(
            table,
            _build_exports(service, overlay),
            ExportAudit(service.audit, table, secret),
            settings.export_time_limit,
        ),
    )


def _build_exports(service: Service, overlay: Overlay) -> Exports:
    return Exports(
        service.lakebase.dedicated, ExportChunks(overlay), lambda: service.check_draining() is not None
    )
