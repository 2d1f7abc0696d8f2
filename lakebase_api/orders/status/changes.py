"""Changes of status: the statement that makes them, with every condition inside it.

A change is the next version in its order's history. Of writers who race for a version the history's primary
key lets one have it; the statements of the others fail as a whole with ``UniqueViolation``, and when they run
again they see what the winner did. So no lock is asked for, and a change is one statement in one round trip.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import RawCursor, errors, sql

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders import overlay
from lakebase_api.orders.order import CHANGED_STATUS, CHANGES_MADE, Source, compose_etag
from lakebase_api.orders.status.change import (
    ChangeRequest,
    ChangeResult,
    Item,
    ItemResult,
    Outcome,
    Overtaken,
    Standing,
)
from lakebase_api.settings import Settings, StatusWrites

# For how long a repeated request gets the answer of the first.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
KEY_LIFE = "24 hours"
# Expired keys that a request with a key removes, so that nothing has to wake the database for it.
EXPIRED_KEYS_REMOVED = 100
# What separates ETags in a list of them, and never stands in one.
# https://www.rfc-editor.org/rfc/rfc9110#name-etag
SEPARATOR = '"'

ONE_ITEM = "SELECT $1::bigint AS o_orderkey, $2::text AS wanted, $3::text AS if_match, 1 AS place"
# A planner that is told how many there are, by another statement, plans for one in a third of the time.
MANY_ITEMS = """
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
WITH ORDINALITY AS item (o_orderkey, wanted, if_match, place)
"""

# Not the version that the order shows: the history may have later ones, of changes made in the table itself.
LAST_VERSION = """
(SELECT coalesce(max(version), 0) AS version FROM {history} AS h WHERE h.o_orderkey = item.o_orderkey
AND h.source_schema = {source_schema} AND h.source_table = {source_table}) AS last
"""

OVERLAID = """
SELECT item.*, t.o_orderkey IS NOT NULL AS is_known, t.o_orderstatus::text AS synced_status,
    {status} AS status, s.o_orderstatus IS NULL AS is_withdrawn, last.version,
    {etag} AS etag, {next_etag} AS next_etag
FROM item LEFT JOIN {table} AS t ON t.o_orderkey = item.o_orderkey AND {as_declared}
LEFT JOIN {statuses} AS s ON s.o_orderkey = item.o_orderkey
    AND s.source_schema = {source_schema} AND s.source_table = {source_table}
CROSS JOIN LATERAL {last_version}
"""
WRITE_OVERLAY = """
INSERT INTO {statuses} (o_orderkey, source_schema, source_table, o_orderstatus, synced_status, version)
SELECT o_orderkey, source_schema, source_table, CASE WHEN NOT is_withdrawal THEN new_status END,
    synced_status, version
FROM recorded
ON CONFLICT (o_orderkey, source_schema, source_table) DO UPDATE
SET o_orderstatus = excluded.o_orderstatus, synced_status = excluded.synced_status, version = excluded.version
"""

# Others than this service may update the table: its rows are locked, in one order, and read as they are then.
DIRECT = """
SELECT item.*, t.o_orderkey IS NOT NULL AS is_known, NULL AS synced_status,
    t.o_orderstatus::text AS status, false AS is_withdrawn, last.version,
    {etag} AS etag, {next_etag} AS next_etag
FROM item LEFT JOIN (
    SELECT * FROM {table} WHERE o_orderkey IN (SELECT o_orderkey FROM item)
    AND {as_declared}
    AND NOT EXISTS (SELECT FROM claim WHERE NOT is_free) -- else it would wait for the first request
    ORDER BY o_orderkey FOR UPDATE
) AS t ON t.o_orderkey = item.o_orderkey
CROSS JOIN LATERAL {last_version}
"""
WRITE_DIRECT = """
UPDATE {table} AS t SET o_orderstatus = recorded.new_status
FROM recorded WHERE t.o_orderkey = recorded.o_orderkey
"""

# In `item`, `wanted` is NULL to withdraw the change there is.
CHANGE = """
WITH item AS ({item}), claim AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended($7 || ' ' || $5, 0)) AS is_free
    WHERE $7::text IS NOT NULL
), current AS MATERIALIZED ({current}), decision AS MATERIALIZED (
    SELECT *, CASE
        WHEN NOT is_known THEN 'unknown'
        WHEN if_match IS NULL AND {requires_match} THEN 'unconditional'
        WHEN if_match <> '*' AND etag <> ALL (string_to_array(if_match, {separator})) THEN 'stale'
        WHEN coalesce(wanted = status, wanted IS NULL AND is_withdrawn) THEN 'unchanged'
        WHEN status || '>' || wanted <> ALL ({transitions}) THEN 'illegal'
        ELSE 'changed'
    END AS outcome
    FROM current
), first AS MATERIALIZED (
    SELECT fingerprint, answer FROM {idempotency} AS i
    WHERE {is_own_key} AND NOT {is_expired}
), admitted AS MATERIALIZED (
    SELECT * FROM decision
    WHERE NOT EXISTS (SELECT FROM first) AND NOT EXISTS (SELECT FROM claim WHERE NOT is_free)
    AND NOT ($4::boolean AND EXISTS (SELECT FROM decision WHERE outcome NOT IN ('changed', 'unchanged')))
), recorded AS (
    INSERT INTO {history} (o_orderkey, source_schema, source_table, version, old_status, new_status,
        synced_status, is_withdrawal, changed_by, request_id, idempotency_key)
    SELECT o_orderkey, {source_schema}, {source_table}, version + 1, status, coalesce(wanted, synced_status),
        synced_status, wanted IS NULL, $5::text, $6::text, $7::text
    FROM admitted WHERE outcome = 'changed' ORDER BY o_orderkey
    RETURNING *
), written AS ({write}), fresh AS MATERIALIZED (
    SELECT jsonb_agg(jsonb_build_object(
        'o_orderkey', o_orderkey, 'outcome', outcome,
        'o_orderstatus', CASE WHEN outcome = 'changed' THEN coalesce(wanted, synced_status) ELSE status END,
        'etag', CASE WHEN outcome = 'changed' THEN next_etag WHEN is_known THEN etag END
    ) ORDER BY place) AS answer FROM decision
), removed AS (
    DELETE FROM {idempotency} AS i
    WHERE $7::text IS NOT NULL AND {is_expired} AND ({is_own_key} OR ctid = ANY (ARRAY(
        SELECT ctid FROM {idempotency} AS i WHERE {is_expired}
        ORDER BY created_at LIMIT {keys_removed} FOR UPDATE SKIP LOCKED
    ))) RETURNING 1
), kept AS (
    INSERT INTO {idempotency} (source_schema, source_table, caller, key, fingerprint, answer)
    SELECT {source_schema}, {source_table}, $5::text, $7::text, $8::text, answer FROM fresh
    WHERE $7::text IS NOT NULL AND EXISTS (SELECT FROM admitted)
    AND (SELECT count(*) FROM removed) >= 0 -- first, since the same key may be among them
)
SELECT fresh.answer::text, first.fingerprint, first.answer::text, EXISTS (SELECT FROM claim WHERE NOT is_free)
FROM fresh LEFT JOIN first ON true
"""
IS_EXPIRED = "i.created_at <= now() - interval {}"
IS_OWN_KEY = (
    "i.key = $7 AND i.caller = $5 AND i.source_schema = {source_schema} AND i.source_table = {source_table}"
)

_decode_items = msgspec.json.Decoder(list[ItemResult]).decode


class StatusChanges:
    """Changes the status of orders, in the way of ``STATUS_WRITES``. Safe to share between threads."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._schema = settings.status_schema
        parts = {**source.parts(), **_build_parts(source, settings)}
        self._change_one = _build_statement(ONE_ITEM, parts)
        self._change_many = _build_statement(MANY_ITEMS, parts)

    def change(self, connection: Connection, request: ChangeRequest) -> ChangeResult:
        """Make the changes, or say why not. The tables that keep them are made if they are not there.

        Raises ``Overtaken`` and psycopg's errors.
        """
        try:
            return self._execute(connection, request)
        except errors.UndefinedTable:
            # Unless another process has made them in this moment.
            if not overlay.exists(connection, self._schema):
                overlay.set_up(connection, self._schema)
        return self._execute(connection, request)

    def _execute(self, connection: Connection, request: ChangeRequest) -> ChangeResult:
        statement, items = self._address(request.items)
        values = (
            *items,
            request.is_atomic,
            request.caller,
            request.request_id,
            request.idempotency_key,
            request.fingerprint,
        )
        try:
            rows = RawCursor(connection).execute(statement, values, binary=True).fetchall()
        except errors.UniqueViolation as error:
            raise Overtaken from error
        [(fresh, fingerprint, first, is_running)] = rows
        now = _decode_items(fresh)
        if is_running and first is None:
            return ChangeResult(Standing.STILL_RUNNING, [])
        if first is None or (request.is_atomic and any(item.outcome is Outcome.UNKNOWN for item in now)):
            return ChangeResult(Standing.FIRST, now)
        if fingerprint != request.fingerprint:
            return ChangeResult(Standing.OTHER_BODY, [])
        return ChangeResult(Standing.REPEATED, _decode_items(first))

    def _address(self, items: Sequence[Item]) -> tuple[bytes, tuple[Any, Any, Any]]:
        """The statement for so many items, and the values of its first three parameters."""
        keys = [item.order_key for item in items]
        statuses = [item.status for item in items]
        etags = [None if item.if_match is None else SEPARATOR.join(item.if_match) for item in items]
        if len(items) == 1:
            return self._change_one, (keys[0], statuses[0], etags[0])
        return self._change_many, (keys, statuses, etags)


def _build_parts(source: Source, settings: Settings) -> dict[str, sql.Composable]:
    """The parts of the statement that the settings decide."""
    is_direct = settings.status_writes == StatusWrites.DIRECT
    names = {
        **source.parts(),
        "history": source.own(overlay.HISTORY_TABLE),
        "idempotency": source.own(overlay.IDEMPOTENCY_TABLE),
    }
    status, version = ("t.o_orderstatus", "0") if is_direct else (CHANGED_STATUS, CHANGES_MADE)
    own_status, next_version = (
        ("item.wanted", "0") if is_direct else ("coalesce(item.wanted, t.o_orderstatus)", "last.version + 1")
    )
    current = {
        "status": sql.SQL(status),
        "last_version": sql.SQL(LAST_VERSION).format(**names),
        "etag": compose_etag(sql.SQL(status), sql.SQL(version)),
        "next_etag": compose_etag(sql.SQL(own_status), sql.SQL(next_version)),
    }
    transitions = list(settings.status_transitions) or None
    return {
        **names,
        "current": sql.SQL(DIRECT if is_direct else OVERLAID).format(**names, **current),
        "write": sql.SQL(WRITE_DIRECT if is_direct else WRITE_OVERLAY).format(**names),
        "requires_match": sql.Literal(settings.require_if_match),
        "separator": sql.Literal(SEPARATOR),
        "transitions": sql.SQL("{}::text[]").format(sql.Literal(transitions)),
        "is_expired": sql.SQL(IS_EXPIRED).format(sql.Literal(KEY_LIFE)),
        "keys_removed": sql.Literal(EXPIRED_KEYS_REMOVED),
        "is_own_key": sql.SQL(IS_OWN_KEY).format(**names),
    }


def _build_statement(item: str, parts: dict[str, sql.Composable]) -> bytes:
    return sql.SQL(CHANGE).format(item=sql.SQL(item), **parts).as_bytes(None)
