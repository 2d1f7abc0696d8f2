"""Composes the service: the only module that knows every other one."""

from collections.abc import Sequence
from functools import partial
from threading import BoundedSemaphore
from wsgiref.types import WSGIApplication

from flask import Flask

from lakebase_api.access.rate_limit import parse_policy
from lakebase_api.access.rights import Rights
from lakebase_api.http.audit_operations import list_audit_operations
from lakebase_api.http.auditing import ExportAudit, register_audit
from lakebase_api.http.authentication import require_callers
from lakebase_api.http.authorization import Build, TableOperations, build_admit, require_rights
from lakebase_api.http.base_path import serve_at_both_bases
from lakebase_api.http.change_texts import ChangeTexts
from lakebase_api.http.changes import Changes
from lakebase_api.http.cors import allow_origins
from lakebase_api.http.cursors import CursorCodec, derive_secret
from lakebase_api.http.documentation import register_documentation
from lakebase_api.http.exporting import Exports
from lakebase_api.http.exports import ExportView
from lakebase_api.http.fingerprints import Fingerprints
from lakebase_api.http.freshness import add_freshness
from lakebase_api.http.index import register_home
from lakebase_api.http.me import register_me
from lakebase_api.http.metrics import register_metrics
from lakebase_api.http.operation import Operation
from lakebase_api.http.pages import register_pages
from lakebase_api.http.path_segments import keep_encoded_slashes
from lakebase_api.http.probes import register_probes
from lakebase_api.http.problem_types import list_problem_types
from lakebase_api.http.problems import register_problems
from lakebase_api.http.proxies import allow_hosts, trust_proxies
from lakebase_api.http.quota import limit_callers
from lakebase_api.http.reads import Reads
from lakebase_api.http.replica_reads import describe_replica, read_from_replica
from lakebase_api.http.request_context import Observing, register_exchange
from lakebase_api.http.resource import Keep, Resource, read_always
from lakebase_api.http.result_cache import TableCache
from lakebase_api.http.routes import find_routes
from lakebase_api.http.service_name import name_service
from lakebase_api.http.status import register_status
from lakebase_api.http.table_operations import list_operations
from lakebase_api.http.usage import register_usage
from lakebase_api.http.validation import GREATEST_BODY
from lakebase_api.service import Service
from lakebase_api.settings import Settings
from lakebase_api.sql.counting import TableCounts, build_slots
from lakebase_api.sql.export_chunks import ExportChunks
from lakebase_api.sql.overlay import Overlay
from lakebase_api.sql.own_tables import AUDIT_TABLE
from lakebase_api.sql.table_database import TableDatabase
from lakebase_api.table.declaration import Table
from lakebase_api.table.types import Kind
from lakebase_api.telemetry.observation import Route


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
    routes: dict[str, Route] = {}
    observing = Observing(service.observers, routes)
    register_exchange(app, observing, settings.request_timeout)
    rights = rights or Rights(anonymous=settings.anonymous)
    names = [AUDIT_TABLE.name, *(table.name for table in tables)]
    register_audit(app, service.audit, names)
    require_callers(app, service.authenticator, rights, service.rate_limit)
    default = parse_policy("caller", settings.rate_limit) if settings.rate_limit else None
    limit_callers(app, service.rate_limit, lambda caller: rights.find_quota(caller) or default)
    _register_routes(app, service, rights, observing)
    routes |= find_routes(app, names)
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


def get_service(app: Flask) -> Service:
    """What the app holds open."""
    service: Service = app.extensions["lakebase_api"]
    return service


def _register_routes(app: Flask, service: Service, rights: Rights, observing: Observing) -> None:
    settings, lakebase = service.settings, service.lakebase
    problem_types = list_problem_types([*service.tables, service.audit_table])
    open_needs = rights.find_open(service.authenticator.stranger)
    document = register_documentation(app, service.tables, problem_types, open_needs)
    register_home(app, service.tables, problem_types, rights)
    secret, slots = derive_secret(settings), build_slots(settings)
    for table, overlay in service.overlays.by_table.items():
        build: Build = partial(_build_operations, service, overlay, secret, slots, observing)
        keep: Keep = TableCache(service.cache, TableDatabase(lakebase.database, overlay)).answer
        if settings.has_replica:
            build, keep = describe_replica(build), read_from_replica(keep)
        operations = TableOperations(rights, table, build)
        Resource(table).serve(app, document, operations.all, operations.admit, keep)
    own = service.audit_table
    build_own = partial(
        _build_operations, service, Overlay(own, settings.status_schema), secret, slots, observing
    )
    of_audit = list_audit_operations(own, build_own(own))
    Resource(own).serve(app, document, of_audit, build_admit(rights), read_always)
    register_me(app, document, rights, service.tables)
    fingerprints = Fingerprints(secret if settings.cursor_secret else None, service.tables, rights)
    register_pages(app)
    register_status(
        app,
        document,
        rights,
        name_service(service.tables),
        service.peers.ask_all,
        fingerprints,
        reads_credentials=service.authenticator.reads_credentials,
    )
    register_usage(app, document, rights, service.usage_reports)
    register_metrics(app, document, rights, service.exposition.write)
    deciding = {
        "token": lakebase.check_token,
        "database": lakebase.check_reachable,
        "draining": service.check_draining,
    }
    if len(service.tables) > 1:
        deciding["tables"] = lakebase.check_tables
    register_probes(app, document, build_admit(rights), deciding, lakebase.tell_parts, fingerprints)
    require_rights(app, document, reads_credentials=service.authenticator.reads_credentials)
    # After flask-smorest, whose own error handlers these replace.
    register_problems(app)


def _build_operations(
    service: Service,
    overlay: Overlay,
    secret: bytes,
    slots: BoundedSemaphore,
    observing: Observing,
    table: Table,
) -> Sequence[Operation]:
    """The operations of a declared table, or of what of it is left to callers to whom columns are hidden."""
    settings, resource = service.settings, Resource(table)
    database = TableDatabase(service.lakebase.database, overlay, table)
    counts = TableCounts(database, settings, slots)
    operations = list_operations(
        Reads(resource, database, counts, CursorCodec(secret, table)),
        Changes(ChangeTexts(resource), database, settings),
        ExportView(
            table,
            _build_exports(service, overlay),
            ExportAudit(service.audit, table, secret),
            observing.finish_export,
            partial(service.freshness.find_version, table.name),
            settings.export_time_limit,
        ),
    )
    return add_freshness(service.freshness, table, operations)


def _build_exports(service: Service, overlay: Overlay) -> Exports:
    return Exports(
        service.lakebase.dedicated,
        ExportChunks(overlay),
        service.exports,
        lambda: service.check_draining() is not None,
    )
