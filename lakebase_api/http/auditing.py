"""What of requests has no history: those that were refused, and exports."""

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Flask, Response, request

from lakebase_api.access.audit import Audit
from lakebase_api.http.filters import name_filters
from lakebase_api.http.request_context import current_exchange
from lakebase_api.sql.audit_table import AuditAction, Event
from lakebase_api.table.declaration import Table

UNAUTHENTICATED = 401
# Of callers who are not known, have no right to it, or ask for too much.
REFUSED = (UNAUTHENTICATED, 403, 429)
# Versions of the source of a synced table, at the begin and the end of an export.
Versions = tuple[int | None, int | None]
NO_VERSIONS: Versions = (None, None)
RecordExport = Callable[[str, int, int, Versions], None]


def register_audit(app: Flask, audit: Audit, tables: Collection[str]) -> None:
    """Have each refusal of the app recorded; ``tables`` are the names of blueprints that are of a table."""

    def record(response: Response) -> Response:
        if response.status_code in REFUSED:
            audit.record_refusal(_describe_refusal(response.status_code, tables))
        return response

    app.after_request(record)


def _describe_refusal(status: int, tables: Collection[str]) -> Event:
    exchange = current_exchange()
    # A path has keys of rows: its operation says as much as may be kept.
    blueprint, _, operation = (request.endpoint or "").partition(".")
    return Event(
        AuditAction.REFUSAL,
        exchange.caller.subject,
        exchange.caller.label,
        # Of those who are not known nothing was established.
        None if status == UNAUTHENTICATED else exchange.caller.method,
        table_name=blueprint if blueprint in tables else None,
        request_id=exchange.request_id,
        status=status,
        detail={"method": exchange.environ["REQUEST_METHOD"], "operation": operation or None},
    )


@dataclass(frozen=True)
class ExportAudit:
    """Records the exports of a table. ``secret`` is what digests of filters are made with."""

    audit: Audit
    table: Table
    secret: bytes

    def build_recorder(self, query: Mapping[str, Any], form: str) -> RecordExport:
        """What records the export that the current request asks for, once it has ended.

        It is called with how it ended, the rows and bytes that were sent, and the versions of the source at
        its begin and end, as far as there are any. It may be on any thread.
        """
        exchange, caller = current_exchange(), current_exchange().caller
        names = [name for name in name_filters(self.table) if name in query]
        asked = {"filters": names, "digest": self._digest(query, names), "format": form}

        def record(outcome: str, rows: int, size: int, versions: Versions) -> None:
            known = {} if versions == NO_VERSIONS else {"data_versions": versions}
            event = Event(
                AuditAction.EXPORT,
                caller.subject,
                caller.label,
                caller.method,
                self.table.name,
                exchange.request_id,
                200,
                rows,
                {**asked, **known, "outcome": outcome, "bytes": size},
            )
            self.audit.record(event)

        return record

    def _digest(self, query: Mapping[str, Any], names: list[str]) -> str | None:
        """What is the same for the same filters, and tells their values to nobody without the secret."""
        if not names:
            return None
        content = msgspec.json.encode({name: query[name] for name in names}, order="sorted")
        return hmac.digest(self.secret, b"filters of exports" + content, "sha256").hex()[:32]
