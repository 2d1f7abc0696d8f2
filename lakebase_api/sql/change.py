"""Changes rows of a declared table: runs the statement that decides, until it has decided."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
from psycopg import errors

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import Blocks, failed, name_changes_check
from lakebase_api.lakebase.setup_faults import NotSetUp
from lakebase_api.lakebase.statements import execute
from lakebase_api.sql.change_request import (
    ChangeRequest,
    ChangeResult,
    IdempotencyState,
    Item,
    ItemResult,
    Outcome,
    Overtaken,
    ValueNotTaken,
)
from lakebase_api.sql.change_sql import SEPARATOR
from lakebase_api.sql.change_statement import StatementShape, compose_change
from lakebase_api.sql.overlay import Overlay
from lakebase_api.sql.overlay_names import IDEMPOTENCY_TABLE, name_history
from lakebase_api.sql.source import Source
from lakebase_api.sql.table_database import TableDatabase

# Seconds before a repeated request looks again whether the first has ended.
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
# How often a change is tried that others were faster with, and the longest pause between, in seconds: each
# time one of them is done, and the pauses, longer and longer, part those who are left.
MAX_TRIES = 15
FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.5

_decode_items = msgspec.json.Decoder(list[ItemResult]).decode


def change_rows(database: TableDatabase, request: ChangeRequest) -> ChangeResult:
    """Make the changes, or say why not. The tables that keep them are made if they are not there.

    ``STILL_RUNNING`` only after waiting for the first request with its idempotency key. Raises ``Overtaken``,
    ``ValueNotTaken``, and as ``Database.write`` does.
    """
    for pause in (*PAUSES, None):
        result = _outlast(database, request)
        if result.state is not IdempotencyState.STILL_RUNNING or pause is None:
            break
        time.sleep(pause * random.uniform(0.5, 1))
    return result


def _outlast(database: TableDatabase, request: ChangeRequest) -> ChangeResult:
    """The result, tried again while others are faster. Raises ``Overtaken`` when they always are."""
    # What names itself is done once however often it is sent.
    write = database.write_repeatably if request.idempotency_key else database.write
    for tries in range(MAX_TRIES):
        try:
            return write(_change, database, request)
        except Overtaken:
            time.sleep(min(FIRST_PAUSE * 2**tries, LONGEST_PAUSE) * random.random())
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise ValueNotTaken from error
    raise Overtaken


def _change(
    connection: Connection, _: Source, database: TableDatabase, request: ChangeRequest
) -> ChangeResult:
    overlay = database.overlay
    _refuse_other_types(overlay)
    try:
        return _execute(connection, database, request)
    except (errors.UndefinedTable, errors.UndefinedColumn):
        # Unless another process has made them in this moment, or it is the table itself.
        if overlay.is_complete(connection):
            raise
        overlay.make(connection)
    return _execute(connection, database, request)


def _refuse_other_types(overlay: Overlay) -> None:
    """Raise ``NotSetUp`` where a value would be kept as another one."""
    if not overlay.other_types:
        return
    kept = ", ".join(f"{name} as {kind}" for name, kind in overlay.other_types.items())
    check = failed(
        name_changes_check(overlay.table.name),
        f"the changes of {overlay.table.name} have {kept}, which is declared as another type",
        mend="Declare the type of before, or have the owner of the tables alter the column",
        fault="changes are kept in another type than is declared",
        blocks=Blocks.CHANGES,
    )
    raise NotSetUp([replace(check, table=overlay.table.name)])


def _execute(connection: Connection, database: TableDatabase, request: ChangeRequest) -> ChangeResult:
    circumstances: dict[str, str] = {}
    if database.overlay.has_circumstances:
        circumstances = {"_changed_label": request.caller_label, "_changed_method": request.caller_method}
    shape = StatementShape(
        request.columns,
        len(request.items) > 1,
        request.is_withdrawal,
        request.requires_match,
        request.within.shape,
        tuple(circumstances),
    )
    statement = compose_change(database.target, database.overlay.schema, shape)
    values = (
        request.is_atomic,
        request.caller,
        request.request_id,
        request.idempotency_key,
        request.fingerprint,
        *circumstances.values(),
        *_list_values(request.items),
        *request.within.parameters,
    )
    try:
        rows = execute(connection, statement, values, binary=True).fetchall()
    except errors.UniqueViolation as error:
        if _is_race(error, database.overlay):
            raise Overtaken from error
        raise
    return _judge(rows, request)


def _is_race(error: errors.UniqueViolation, overlay: Overlay) -> bool:
    """Whether another writer was faster with the version, or with the idempotency key."""
    arbiters = (name_history(overlay.table), IDEMPOTENCY_TABLE)
    return error.diag.schema_name == overlay.schema and error.diag.table_name in arbiters


def _judge(rows: Sequence[tuple[Any, ...]], request: ChangeRequest) -> ChangeResult:
    [(fresh, fingerprint, first, is_running)] = rows
    now = _decode_items(fresh)
    if is_running and first is None:
        return ChangeResult(IdempotencyState.STILL_RUNNING, [])
    if first is None or (request.is_atomic and any(item.outcome is Outcome.UNKNOWN for item in now)):
        return ChangeResult(IdempotencyState.FIRST, now)
    if fingerprint != request.fingerprint:
        return ChangeResult(IdempotencyState.OTHER_BODY, [])
    return ChangeResult(IdempotencyState.REPEATED, _decode_items(first))


def _list_values(items: Sequence[Item]) -> Sequence[object]:
    """The parameters of the items: of one as they are, of several in lists."""
    rows = [(*item.key, *item.values, _join_etags(item.if_match)) for item in items]
    return rows[0] if len(rows) == 1 else [list(column) for column in zip(*rows, strict=True)]


def _join_etags(etags: Sequence[str] | None) -> str | None:
    return None if etags is None else SEPARATOR.join(etags)
