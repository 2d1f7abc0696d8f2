"""Answers with exports of a declared table."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, request

from lakebase_api.http import problem_types as kinds
from lakebase_api.http.auditing import ExportAudit
from lakebase_api.http.csv_ndjson import CSV, FORMULA_STARTS, NDJSON
from lakebase_api.http.export_schemas import FORMATS
from lakebase_api.http.exporting import Caller, Exports, Unfinished
from lakebase_api.http.hang_up import ClientGone
from lakebase_api.http.negotiation import VARY, negotiate
from lakebase_api.http.problems import Problem
from lakebase_api.http.reads import choose_rows
from lakebase_api.http.request_context import Exchange, current_exchange
from lakebase_api.sql.copy_sql import Form
from lakebase_api.sql.export_chunks import Export
from lakebase_api.table.declaration import Table
from lakebase_api.table.key_text import KeyTexts, spell_cursor


class ExportView:
    """Answers requests for exports of a table, which may take ``time_limit`` seconds.

    Safe to share between threads. ``tell_end`` is called when one has ended, with its exchange, how it ended,
    and the rows and bytes that were sent; ``find_version`` gives the version of the source of a synced table.
    """

    def __init__(
        self,
        table: Table,
        exports: Exports,
        audit: ExportAudit,
        tell_end: Callable[[Exchange, str, int, int], None],
        find_version: Callable[[], int | None],
        time_limit: float,
    ) -> None:
        self.table = table
        self._exports = exports
        self._audit = audit
        self._tell_end = tell_end
        self._find_version = find_version
        self._time_limit = time_limit

    def answer(self, query: dict[str, Any]) -> Response:
        """The answer to a checked query. Problems: as the operation says."""
        media_type = FORMATS[query["format"]] if "format" in query else negotiate(CSV, NDJSON)
        has_header = media_type == CSV and query.get("header", query.get("cursor") is None)
        if request.method == "HEAD":
            return self._respond((), media_type, has_header=has_header)
        export = self._build_export(query, is_csv=media_type == CSV)
        header = ",".join(query["shown"]).encode() + b"\n" if has_header else b""
        if export.form.is_csv and query["bom"]:
            header = BOM_UTF8 + header
        return self._begin(export, query, header, has_header=has_header)

    def _begin(self, export: Export, query: dict[str, Any], header: bytes, *, has_header: bool) -> Response:
        exchange, after = current_exchange(), _find_key(query)
        deadline = exchange.deadline_within(self._time_limit)
        record = self._audit.build_recorder(query, "csv" if export.form.is_csv else "ndjson")

        begun_at = self._find_version()

        def record_end(outcome: str, rows: int, size: int) -> None:
            exchange.charge_rows(rows)
            record(outcome, rows, size, (begun_at, self._find_version()))
            self._tell_end(exchange, outcome, rows, size)

        caller = Caller(
            exchange.flow,
            exchange.caller.subject,
            exchange.operation,
            exchange.request_id,
            exchange.trace.trace_id,
            deadline,
            exchange.reads_after,
            _find_client(),
            self._find_version,
            record_end,
        )
        try:
            running = self._exports.begin(export, after, header, caller)
        except Unfinished as error:
            raise Problem(kinds.EXPORT_UNFINISHED, self._explain(error)) from None
        except ClientGone:
            return Response(status=499)  # for the log, as nginx has it
        exchange.record_use(running.work.waited, running.work.held)
        exchange.server = running.work.server
        return self._respond(running, CSV if export.form.is_csv else NDJSON, has_header=has_header)

    def _build_export(self, query: dict[str, Any], *, is_csv: bool) -> Export:
        form = Form(
            query["shown"],
            is_csv,
            escaped=FORMULA_STARTS if is_csv and query["quote_formulas"] else (),
            great_as_text=query.get("great_integers") == "text" and not is_csv,
        )
        which = choose_rows(self.table, query)
        return Export(which, form, tells_cursor=query["trailer"] and not is_csv)

    def _explain(self, error: Unfinished) -> str:
        one = self.table.one
        if error.reached is None:
            return f"There was no time to look for the first {one}."
        cursor = spell_cursor(self.table, error.reached)
        return f"There is no such {one} up to key {cursor}, and no time to look further."

    def _respond(self, body: Iterable[bytes], media_type: str, *, has_header: bool) -> Response:
        content_type, name = NDJSON, f"{self.table.name}.ndjson"
        if media_type == CSV:
            header = "present" if has_header else "absent"
            content_type, name = f"{CSV}; charset=utf-8; header={header}", f"{self.table.name}.csv"
        response = Response(body, content_type=content_type)
        response.headers.add("Content-Disposition", f'attachment; filename="{name}"')
        response.headers.add("Cache-Control", "no-store")
        response.headers.add(*VARY)
        return response


def _find_key(query: dict[str, Any]) -> KeyTexts | None:
    cursor = query.get("cursor")
    return (str(cursor),) if isinstance(cursor, int) else cursor


def _find_client() -> int | None:
    client = request.environ.get("gunicorn.socket")
    return client.fileno() if client else None
