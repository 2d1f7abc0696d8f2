"""The statement that changes rows, with every condition inside it.

A change is the next version in its row's history. Of writers who race for a version the history's primary key
lets one have it; the statements of the others fail as a whole, and when they run again they see what the
winner did. So nobody holds a lock while another decides, and a change is one statement in one round trip.
Locks are taken all the same, by the statement and until its end: one on the idempotency key, which nobody
waits for; on expired keys, which others skip; and, where the declared table itself is changed, on its rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from psycopg import sql

from lakebase_api.sql.overlay_tables import (
    IDEMPOTENCY_TABLE,
    name_changes,
    name_history,
    spell_storage_type,
)
from lakebase_api.sql.source import Source, compose_etag, name_changed, name_synced
from lakebase_api.table.declaration import Column
from lakebase_api.table.types import Kind, Type

# There is one statement for each set of columns that requests change.
STATEMENTS_KEPT = 256
# For how long a repeated request gets the answer of the first.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
KEY_LIFE = "24 hours"
# Expired keys that a request with a key removes, so that nothing has to wake the database for it.
EXPIRED_KEYS_REMOVED = 100
# PostgreSQL gives a function 100 arguments at the most.
MAX_PAIRS = 50
# What separates ETags in a list of them, and never stands in one.
# https://www.rfc-editor.org/rfc/rfc9110#name-etag
SEPARATOR = '"'

# What transitions call NULL.
NULL = "null"

# The parameters before those of the items.
FIRST_OF_ITEMS = 6

# An item has the parts of its key, k0 and on, what is wanted for each column, w0 and on, and its ETags.
ONE_ITEM = "SELECT {values}, 1 AS place"
# A planner that is told how many there are, by another statement, plans for one in a third of the time.
MANY_ITEMS = "SELECT * FROM unnest({arrays}) WITH ORDINALITY AS item ({names}, place)"

# Not the version that the row shows: the history may have later ones, of changes made in the table itself.
LAST_VERSION = """
(SELECT coalesce(max(h._version), 0) AS version FROM {history} AS h WHERE {same_history}) AS last
"""

# Of each column: as it is shown (o0), as its table has it (y0), as it is shown once it is changed (n0) and,
# to withdraw it, whether it is changed (c0).
OVERLAID = """
SELECT item.*, {is_known} AS is_known, {columns}, last.version, {etag} AS etag, {next_etag} AS next_etag
FROM item LEFT JOIN {table} AS t ON {same_row} AND {as_declared}
LEFT JOIN {changes} AS s ON {same_change} AND s._source = {source}
CROSS JOIN LATERAL {last_version}
"""
# After `recorded`, where those who race wait for one another.
WRITE_BESIDE = """
INSERT INTO {changes} ({key}, _source, _version, {targets})
SELECT {item_key}, {source}, version + 1, {target_values}
FROM admitted WHERE outcome = 'changed' AND (SELECT count(*) FROM recorded) >= 0
ON CONFLICT ({key}, _source) DO UPDATE SET _version = excluded._version, {assignments}
"""

# Others than this service may update the table: its rows are locked, in one order, and read as they are then.
DIRECT = """
SELECT item.*, {is_known} AS is_known, {columns}, last.version, {etag} AS etag
FROM item LEFT JOIN (
    SELECT {all_columns} FROM {table} WHERE ({key}) IN (SELECT {item_key} FROM item) AND {as_declared}
    AND NOT EXISTS (SELECT FROM claim WHERE NOT is_free) -- else it would wait for the first request
    ORDER BY {key} FOR UPDATE
) AS t ON {same_row}
CROSS JOIN LATERAL {last_version}
"""
# What is told is the row as its table, and what is triggered there, made it.
WRITE_DIRECTLY = """
UPDATE {table} AS t SET {settings} FROM admitted AS item WHERE {same_row} AND outcome = 'changed'
RETURNING item.place, {returned}, {etag} AS next_etag
"""

CHANGE = """
WITH item AS ({item}), claim AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended($4 || ' ' || $2, 0)) AS is_free
    WHERE $4::text IS NOT NULL
), current AS MATERIALIZED ({current}), decision AS MATERIALIZED (
    SELECT *, CASE
        WHEN NOT is_known THEN 'unknown'
        WHEN if_match IS NULL AND {requires_match} THEN 'unconditional'
        WHEN if_match <> '*' AND etag <> ALL (string_to_array(if_match, {separator})) THEN 'stale'
        WHEN {is_unchanged} THEN 'unchanged'
        WHEN {illegal} IS NOT NULL THEN 'illegal'
        ELSE 'changed'
    END AS outcome
    FROM current
), first AS MATERIALIZED (
    SELECT fingerprint, answer FROM {idempotency} AS i
    WHERE {is_own_key} AND NOT {is_expired}
), admitted AS MATERIALIZED (
    SELECT * FROM decision
    WHERE NOT EXISTS (SELECT FROM first) AND NOT EXISTS (SELECT FROM claim WHERE NOT is_free)
    AND NOT ($1::boolean AND EXISTS (SELECT FROM decision WHERE outcome NOT IN ('changed', 'unchanged')))
), {written_first} recorded AS (
    INSERT INTO {history} ({key}, _source, _version, _old, _new, _synced,
        _is_withdrawal, _changed_by, _request_id, _idempotency_key)
    SELECT {item_key}, {source}, version + 1, {old}, {new}, {synced},
        {is_withdrawal}, $2::text, $3::text, $4::text
    FROM admitted {join_written} WHERE outcome = 'changed' ORDER BY {item_key}
    RETURNING 1
), {written_then} fresh AS MATERIALIZED (
    SELECT jsonb_agg(jsonb_build_object(
        'key', jsonb_build_array({key_texts}), 'outcome', outcome,
        'values', CASE WHEN outcome = 'changed' THEN {new} ELSE {old} END,
        'etag', CASE WHEN outcome = 'changed' THEN next_etag WHEN is_known THEN etag END,
        'illegal', CASE WHEN outcome = 'illegal' THEN {illegal} END
    ) ORDER BY place) AS answer FROM decision {left_join_written}
), removed AS (
    DELETE FROM {idempotency} AS i
    WHERE $4::text IS NOT NULL AND {is_expired} AND ({is_own_key} OR ctid = ANY (ARRAY(
        SELECT ctid FROM {idempotency} AS i WHERE {is_expired}
        ORDER BY created_at LIMIT {keys_removed} FOR UPDATE SKIP LOCKED
    ))) RETURNING 1
), kept AS (
    INSERT INTO {idempotency} (source, caller, key, fingerprint, answer)
    SELECT {source}, $2::text, $4::text, $5::text, answer FROM fresh
    WHERE $4::text IS NOT NULL AND EXISTS (SELECT FROM admitted)
    AND (SELECT count(*) FROM removed) >= 0 -- first, since the same key may be among them
)
SELECT fresh.answer::text, first.fingerprint, first.answer::text, EXISTS (SELECT FROM claim WHERE NOT is_free)
FROM fresh LEFT JOIN first ON true
"""
IS_EXPIRED = "i.created_at <= now() - interval {}"
IS_OWN_KEY = "i.key = $4 AND i.caller = $2 AND i.source = {source}"


class StatementShape(NamedTuple):
    """What tells the statements on one table apart, beside their values.

    ``columns`` are changed; one of a single row is smaller than one of many.
    """

    columns: tuple[str, ...]
    is_many: bool
    is_withdrawal: bool
    requires_match: bool


@lru_cache(STATEMENTS_KEPT)
def compose_change(source: Source, schema: str, shape: StatementShape) -> bytes:
    """The statement. ``source`` has an overlay, or is changed itself; ``schema`` has the tables beside it.

    Its parameters are whether all or none are changed, the caller, the request's id, its idempotency key and
    fingerprint, and then, of one row or in an array of many: each part of the key, each value unless they are
    withdrawn, and the ETags.
    """
    return sql.SQL(CHANGE).format(**_Parts(source, schema, shape).compose()).as_bytes(None)


class _Parts:
    """The parts of one statement."""

    def __init__(self, source: Source, schema: str, shape: StatementShape) -> None:
        self.source, self.schema, self.shape = source, schema, shape
        self.table = source.table
        self.is_direct = source.overlay_schema is None
        self.columns = [self.table.by_name[name] for name in shape.columns]

    def compose(self) -> dict[str, sql.Composable]:
        """All of them."""
        names, recorded = self.names, self._compose_recorded()
        order = self._compose_order()
        return {
            **names,
            **recorded,
            **order,
            "item": self._compose_item(),
            "current": self._compose_current(),
            "requires_match": sql.Literal(self.shape.requires_match),
            "is_withdrawal": sql.Literal(self.shape.is_withdrawal),
            "separator": sql.Literal(SEPARATOR),
            "is_unchanged": self._compose_unchanged(),
            "illegal": self._compose_illegal(),
            "is_expired": sql.SQL(IS_EXPIRED).format(sql.Literal(KEY_LIFE)),
            "keys_removed": sql.Literal(EXPIRED_KEYS_REMOVED),
            "is_own_key": sql.SQL(IS_OWN_KEY).format(**names),
            "key_texts": _list(
                spell_text(column.type, _name("k", n)) for n, column in enumerate(self.table.key)
            ),
        }

    @cached_property
    def names(self) -> dict[str, sql.Composable]:
        """The names of tables, and of keys."""
        return {
            "table": self.source.identifier,
            "source": self.source.literal,
            "as_declared": self.source.as_declared(),
            "changes": sql.Identifier(self.schema, name_changes(self.table)),
            "history": sql.Identifier(self.schema, name_history(self.table)),
            "idempotency": sql.Identifier(self.schema, IDEMPOTENCY_TABLE),
            "key": _list(map(sql.Identifier, self.table.key_names)),
            "item_key": _list(_name("k", n) for n in range(len(self.table.key))),
            "same_row": self._match_item("t"),
            "same_change": self._match_item("s"),
        }

    def _match_item(self, alias: str) -> sql.Composable:
        return sql.SQL(" AND ").join(
            sql.SQL("{} = item.{}").format(sql.Identifier(alias, name), _name("k", n))
            for n, name in enumerate(self.table.key_names)
        )

    def _compose_item(self) -> sql.Composable:
        """The items, from the parameters."""
        typed = [(_name("k", n), spell_storage_type(each.type)) for n, each in enumerate(self.table.key)]
        if not self.shape.is_withdrawal:
            typed += [(_name("w", n), _spell_input_type(each.type)) for n, each in enumerate(self.columns)]
        typed.append((sql.SQL("if_match"), sql.SQL("text")))
        numbered = [(number, *each) for number, each in enumerate(typed, FIRST_OF_ITEMS)]
        if self.shape.is_many:
            arrays = _list(sql.SQL(f"${number}::{{}}[]").format(kind) for number, _, kind in numbered)
            return sql.SQL(MANY_ITEMS).format(arrays=arrays, names=_list(name for name, _ in typed))
        values = _list(
            sql.SQL(f"${number}::{{}} AS {{}}").format(kind, name) for number, name, kind in numbered
        )
        return sql.SQL(ONE_ITEM).format(values=values)

    def _compose_current(self) -> sql.Composable:
        """Each item beside the row as it is."""
        same = sql.SQL("{} AND h._source = {}").format(self._match_item("h"), self.source.literal)
        changed = {column.name: self._show_changed(n, column) for n, column in enumerate(self.columns)}
        next_columns = (changed.get(name) or self.source.show_column(name) for name in self.table.names)
        return sql.SQL(DIRECT if self.is_direct else OVERLAID).format(
            **self.names,
            is_known=sql.SQL("{} IS NOT NULL").format(sql.Identifier("t", self.table.key_names[0])),
            columns=_list(self._show_column(n, column) for n, column in enumerate(self.columns)),
            all_columns=_list(map(sql.Identifier, self.table.names)),
            etag=self.source.show_etag(),
            next_etag=compose_etag(next_columns, sql.SQL("last.version + 1")),
            last_version=sql.SQL(LAST_VERSION).format(same_history=same, **self.names),
        )

    def _show_column(self, n: int, column: Column) -> sql.Composable:
        now = sql.SQL("{} AS {}").format(self.source.show_column(column.name), _name("o", n))
        if self.is_direct:
            return now
        synced = sql.SQL("{} AS {}").format(sql.Identifier("t", column.name), _name("y", n))
        then = sql.SQL("{} AS {}").format(self._show_changed(n, column), _name("n", n))
        if not self.shape.is_withdrawal:
            return _list([now, synced, then])
        is_changed = sql.Identifier("s", name_changed(column.name))
        changed = sql.SQL("coalesce({}, false) AS {}").format(is_changed, _name("c", n))
        return _list([now, synced, then, changed])

    def _show_changed(self, n: int, column: Column) -> sql.Composable:
        """The column as reads will show it, of the type that it has there."""
        parts = {"own": sql.Identifier("t", column.name), "kept": sql.Identifier("s", column.name)}
        if self.shape.is_withdrawal:
            return sql.SQL("CASE WHEN false THEN {kept} ELSE {own} END").format(**parts)
        return sql.SQL("CASE WHEN true THEN item.{wanted} ELSE {own} END").format(
            wanted=_name("w", n), **parts
        )

    def _compose_unchanged(self) -> sql.Composable:
        template = "NOT {changed}" if self.shape.is_withdrawal else "{now} IS NOT DISTINCT FROM {wanted}"
        return sql.SQL(" AND ").join(
            sql.SQL(template).format(changed=_name("c", n), now=_name("o", n), wanted=_name("w", n))
            for n in range(len(self.columns))
        )

    def _compose_illegal(self) -> sql.Composable:
        """The first column that may not change to what is wanted. A withdrawal always may."""
        cases = [
            self._compose_case(n, column, column.change.transitions)
            for n, column in enumerate(self.columns)
            if column.change and column.change.transitions and not self.shape.is_withdrawal
        ]
        return sql.SQL("CASE {} END").format(sql.SQL(" ").join(cases)) if cases else sql.SQL("NULL::text")

    def _compose_case(self, n: int, column: Column, transitions: Sequence[tuple[str, str]]) -> sql.Composable:
        """NULL may change to anything unless the transitions say what to."""
        is_said = any(before == NULL for before, _ in transitions)
        return sql.SQL(
            "WHEN {now} IS DISTINCT FROM {wanted} AND ({now} IS NOT NULL OR {is_said}) "
            "AND coalesce({now}::text, {null}) || '>' || coalesce({wanted}::text, {null}) <> ALL ({pairs}) "
            "THEN {name}"
        ).format(
            now=_name("o", n),
            wanted=_name("w", n),
            null=sql.Literal(NULL),
            is_said=sql.Literal(is_said),
            pairs=sql.SQL("{}::text[]").format(sql.Literal([">".join(pair) for pair in transitions])),
            name=sql.Literal(column.name),
        )

    def _compose_recorded(self) -> dict[str, sql.Composable]:
        """The values that the history and the answer have."""
        nothing = {column.name: sql.SQL("NULL::text") for column in self.columns}
        then = {column.name: _name("n", n) for n, column in enumerate(self.columns)}
        now = {column.name: _name("o", n) for n, column in enumerate(self.columns)}
        own = {column.name: _name("y", n) for n, column in enumerate(self.columns)}
        return {
            "old": self._build_object(now),
            "new": self._build_object(then),
            "synced": self._build_object(nothing if self.is_direct else own),
        }

    def _build_object(self, values: Mapping[str, sql.Composable]) -> sql.Composable:
        return build_object(
            {column.name: spell_text(column.type, values[column.name]) for column in self.columns}
        )

    def _compose_order(self) -> dict[str, sql.Composable]:
        """What is written before the history, which has what came of it, or after."""
        nothing = sql.SQL("")
        if self.is_direct:
            return {
                "written_first": sql.SQL("written AS ({}),").format(self._write_directly()),
                "written_then": nothing,
                "join_written": sql.SQL("JOIN written USING (place)"),
                "left_join_written": sql.SQL("LEFT JOIN written USING (place)"),
            }
        return {
            "written_first": nothing,
            "written_then": sql.SQL("written AS ({}),").format(self._write_beside()),
            "join_written": nothing,
            "left_join_written": nothing,
        }

    def _write_directly(self) -> sql.Composable:
        pairs = list(enumerate(self.columns))
        return sql.SQL(WRITE_DIRECTLY).format(
            **self.names,
            settings=_list(
                sql.SQL("{} = item.{}").format(sql.Identifier(column.name), _name("w", n))
                for n, column in pairs
            ),
            returned=_list(
                sql.SQL("{} AS {}").format(sql.Identifier("t", column.name), _name("n", n))
                for n, column in pairs
            ),
            etag=self.source.show_etag(),
        )

    def _write_beside(self) -> sql.Composable:
        targets = [
            sql.Identifier(name)
            for column in self.columns
            for name in (column.name, name_changed(column.name), name_synced(column.name))
        ]
        values = [self._keep(n, column) for n, column in enumerate(self.columns)]
        return sql.SQL(WRITE_BESIDE).format(
            **self.names,
            targets=_list(targets),
            target_values=_list(values),
            assignments=_list(sql.SQL("{0} = excluded.{0}").format(target) for target in targets),
        )

    def _keep(self, n: int, column: Column) -> sql.Composable:
        """What is kept of a column: the value, whether it is changed, what its table had."""
        template = "NULL, false, {}::{}" if self.shape.is_withdrawal else "{wanted}, true, {}::{}"
        storage = spell_storage_type(column.type)
        return sql.SQL(template).format(_name("y", n), storage, wanted=_name("w", n))


def _spell_input_type(kind: Type) -> sql.SQL:
    """The type that a value is read as: the declared one, with its length and precision."""
    return sql.SQL(kind.cast if kind.kind is Kind.INTEGER else kind.name)


def spell_text(kind: Type, value: sql.Composable) -> sql.Composable:
    """A value as PostgreSQL prints it; a cast of `character` would take away its blanks."""
    is_padded = spell_storage_type(kind) == sql.SQL("bpchar")
    return sql.SQL("to_jsonb({}) #>> '{{}}'" if is_padded else "{}::text").format(value)


def build_object(values: Mapping[str, sql.Composable]) -> sql.Composable:
    """A JSON object."""
    parts = [sql.SQL("{}, {}").format(sql.Literal(name), value) for name, value in values.items()]
    objects = (
        sql.SQL("jsonb_build_object({})").format(_list(parts[at : at + MAX_PAIRS]))
        for at in range(0, len(parts), MAX_PAIRS)
    )
    return sql.SQL(" || ").join(objects)


def _name(letter: str, number: int) -> sql.SQL:
    return sql.SQL(f"{letter}{number}")


def _list(parts: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(parts)
