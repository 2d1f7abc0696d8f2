"""Composes the service: the only module that knows every other one."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial
from wsgiref.types import WSGIApplication

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from lakebase_api.doctor.catalogues import find_mark
from lakebase_api.doctor.examination import examine
from lakebase_api.http.export_seam import build_predicates, find_query_schema
from lakebase_api.http.exporting import Exports
from lakebase_api.http.exports import ExportContext, add_export
from lakebase_api.http.resource import Resource
from lakebase_api.lakebase.lakebase import Lakebase
from lakebase_api.orders.counting import OrderCounts
from lakebase_api.orders.lists.cursors import CursorCodec
from lakebase_api.orders.lists.listing import StateQuery
from lakebase_api.orders.lists.pages_by_key import PagesByKey
from lakebase_api.orders.lists.routes import ListsContext, register_lists
from lakebase_api.orders.lists.sorted_pages import SortedPages
from lakebase_api.orders.order import Source
from lakebase_api.orders.queries import OrderQueries
from lakebase_api.orders.reading import Reader
from lakebase_api.orders.routes import OrdersContext, register_orders
from lakebase_api.orders.status.changes import StatusChanges
from lakebase_api.orders.status.history import HistoryQueries
from lakebase_api.orders.status.routes import StatusContext, register_status
from lakebase_api.orders.status.writer import StatusWriter
from lakebase_api.settings import Settings, StatusWrites
from lakebase_api.sql.export_chunks import ExportChunks
from lakebase_api.sql.overlay import Overlay
from lakebase_api.table.declaration import Table
from lakebase_api.web.base_path import serve_at_both_bases
from lakebase_api.web.cors import allow_origins
from lakebase_api.web.documentation import DocumentedApi, build_api
from lakebase_api.web.exchange import current_exchange, register_exchange
from lakebase_api.web.home import register_home
from lakebase_api.web.probes import register_probes
from lakebase_api.web.problems import register_problems
from lakebase_api.web.proxies import allow_hosts, trust_proxies
from lakebase_api.web.traffic import REPORT_INTERVAL, Traffic, TrafficReport
from lakebase_api.web.validation import GREATEST_BODY

logger = logging.getLogger(__name__)


class Service:
    """What an app holds open: the way to Lakebase, and the scheduler of what runs by itself."""

    def __init__(self, settings: Settings, tables: Sequence[Table]) -> None:
        self.settings = settings
        self.tables = tables
        self.traffic = Traffic()
        self._is_stopping: Callable[[], bool] = lambda: False
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # The default drops a job that is a second late.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self.lakebase = Lakebase(
            settings,
            self._scheduler,
            current_exchange,
            partial(examine, settings),
            partial(examine, settings, looks_at_rows=False),
            partial(find_mark, settings),
        )
        self._report = TrafficReport(self.traffic, self.lakebase.stats)

    def open(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Start the threads and connections; returns at once. Call it after the fork.

        ``is_stopping`` says whether the process is about to end, which makes it not ready.
        """
        self._is_stopping = is_stopping
        self._scheduler.add_job(self._report.log, "interval", seconds=REPORT_INTERVAL)
        self._scheduler.start()
        self.lakebase.open()
        logger.info("Application startup complete")

    def close(self) -> None:
        """End the threads and connections."""
        # Waiting would be for ever: a job that sets its next run needs the lock that waiting holds.
        self._scheduler.shutdown(wait=False)
        self.lakebase.close()

    def check_draining(self) -> str | None:
        """Why new connections should go elsewhere, or ``None``."""
        return "the service is stopping" if self._is_stopping() else None


def create_app(settings: Settings, tables: Sequence[Table]) -> Flask:
    """The application that serves these tables.

    Does no I/O and starts no thread: ``get_service(app).open()`` does.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = GREATEST_BODY
    # A path with doubled slashes is another path, not one to redirect from.
    app.url_map.merge_slashes = False
    app.wsgi_app = _serve_where_clients_ask(app.wsgi_app, settings)  # type: ignore[assignment,method-assign]
    service = app.extensions["lakebase_api"] = Service(settings, tables)
    allow_origins(app, settings)
    register_exchange(app, service.traffic, settings.request_timeout)
    _register_routes(app, service)
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


def _register_routes(app: Flask, service: Service) -> None:
    settings, lakebase = service.settings, service.lakebase
    api = build_api(app)
    register_home(app)
    source = Source(settings.schema, settings.table, settings.status_schema)
    shows_changes = settings.status_writes != StatusWrites.DIRECT
    reader = Reader(source, shows_changes=shows_changes)
    queries = OrderQueries(reader)
    history = HistoryQueries(source, shows_changes=shows_changes)
    writer = StatusWriter(lakebase.database, StatusChanges(source, settings), settings)
    counts = OrderCounts(lakebase.database, queries, settings)
    register_orders(app, api, OrdersContext(lakebase.database, queries, counts))
    lists = ListsContext(
        database=lakebase.database,
        queries=queries,
        counts=counts,
        by_key=PagesByKey(reader),
        sorted=SortedPages(reader),
        cursors=CursorCodec(settings, source),
        state=StateQuery(source),
    )
    register_lists(app, api, lists)
    for table in service.tables:
        _register_export(app, api, service, table)
    register_status(app, api, StatusContext(writer, history))
    deciding = {
        "token": lakebase.check_token,
        "database": lakebase.check_connect,
        "draining": service.check_draining,
    }
    register_probes(app, api, deciding, {"table": lakebase.check_table})
    # After flask-smorest, whose own error handlers these replace.
    register_problems(app)


def _register_export(app: Flask, api: DocumentedApi, service: Service, table: Table) -> None:
    resource, overlay = Resource(table), Overlay(table, service.settings.status_schema)
    if table.name == "orders":
        resource.blueprint.name, resource.blueprint.description = "exports", "All orders at once."
    exports = Exports(
        service.lakebase.dedicated, ExportChunks(overlay), lambda: service.check_draining() is not None
    )
    add_export(
        resource,
        ExportContext(
            exports,
            service.settings.export_time_limit,
            find_query_schema(table),
            partial(build_predicates, table),
        ),
    )
    resource.register(app, api)
