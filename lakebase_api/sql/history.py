"""The history of a row: its changes, and whether its table has come to say something else."""

from dataclasses import dataclass
from functools import lru_cache

import msgspec
from psycopg import sql

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.statements import execute
from lakebase_api.sql.change_values import build_object, spell_text
from lakebase_api.sql.overlay import Overlay
from lakebase_api.sql.overlay_names import CIRCUMSTANCES, name_changes, name_history, spell_storage_type
from lakebase_api.sql.predicates import EVERYTHING, Predicates, Shape, compose_predicates, name_columns
from lakebase_api.sql.source import Source, name_changed, name_synced
from lakebase_api.table.declaration import Column

STATEMENTS_KEPT = 256

Values = dict[str, str | None]


@dataclass(frozen=True)
class Version:
    """One change of a row. Values are texts as PostgreSQL writes them, by column.

    ``synced`` is what the table had at that time; ``None`` where it is changed itself.
    """

    version: int
    old: Values
    new: Values
    synced: Values
    is_withdrawal: bool
    changed_at: str
    changed_by: str
    request_id: str
    changed_by_label: str | None
    changed_by_method: str | None


class ColumnState(msgspec.Struct, frozen=True):
    """A column as it is shown, and as its table has it: both ``None`` when the row is gone.

    ``conflict``: the table has come to say something that is neither what the change was made from nor what
    it was made to.
    """

    value: str | None
    synced: str | None
    conflict: bool


@dataclass(frozen=True)
class History:
    """The changeable columns of a row by name, and a page of its changes, newest first."""

    key: list[str]
    columns: dict[str, ColumnState]
    versions: list[Version]
    has_next: bool

    @property
    def next_cursor(self) -> int | None:
        """The version that the next page starts before."""
        return self.versions[-1].version if self.has_next else None


NOW = """
SELECT {key} AS key, {states} AS states FROM {table} AS t WHERE {same_row} AND {as_declared} AND {is_visible}
"""

OVERLAID_NOW = """
SELECT {key} AS key, {states} AS states
FROM (SELECT {columns} FROM {table} AS t WHERE {same_row} AND {as_declared}) AS t
FULL JOIN (SELECT * FROM {changes} AS s WHERE {same_change} AND s._source = {source}) AS s ON true
WHERE {is_visible}
"""

# One statement, and so one moment: the values are those of the newest change. With neither there is no row.
FETCH = """
SELECT now.key::text, now.states::text, v._version, v._old::text, v._new::text, v._synced::text,
    v._is_withdrawal, v._changed_at::text, v._changed_by, v._request_id,
    {circumstances}
FROM ({now}) AS now {join} JOIN (
    SELECT * FROM {history} AS h WHERE {same_history} AND h._source = {source} AND h._version < {before}
    ORDER BY h._version DESC LIMIT {limit}
) AS v ON true
ORDER BY v._version DESC
"""
# As long as there is no table of the history.
FETCH_NOW = "SELECT now.key::text, now.states::text, NULL FROM ({now}) AS now"

_decode_key = msgspec.json.Decoder(list[str]).decode
_decode_states = msgspec.json.Decoder(dict[str, ColumnState]).decode
_decode_values = msgspec.json.Decoder(Values).decode


def fetch_history(
    connection: Connection,
    source: Source,
    overlay: Overlay,
    key: tuple[object, ...],
    before: int,
    page_size: int,
    within: Predicates = EVERYTHING,
) -> History | None:
    """The changes of a row older than version ``before``; ``None`` of a row never known, or not ``within``.

    All of one moment. Raises psycopg's errors.
    """
    schema = overlay.schema if overlay.has_history else None
    circumstances = CIRCUMSTANCES if overlay.has_circumstances else ()
    values = key if schema is None else (*key, before, page_size + 1)
    statement = compose_history(source, schema, within.shape, circumstances)
    rows = execute(connection, statement, (*values, *within.parameters)).fetchall()
    if not rows:
        return None
    versions = [_read_version(*row[2:]) for row in rows if row[2] is not None]
    states = rows[0][1] and _decode_states(rows[0][1])
    return History(
        key=_decode_key(rows[0][0]) if rows[0][0] else list(map(str, key)),
        columns=states or {each.name: ColumnState(None, None, False) for each in source.table.changeable},
        versions=versions[:page_size],
        has_next=len(versions) > page_size,
    )


@lru_cache(STATEMENTS_KEPT)
def compose_history(
    source: Source, schema: str | None, within: Shape = (), circumstances: tuple[str, ...] = CIRCUMSTANCES
) -> bytes:
    """The statement; its parameters are the parts of the key, where ``schema`` has a history from which
    version on and how many, and the values of the predicates.

    Without the columns ``circumstances`` the history is one of an earlier release.
    """
    table = source.table
    first = len(table.key) + (1 if schema is None else 3)
    now = sql.SQL(OVERLAID_NOW if source.is_overlaid() else NOW).format(
        key=_build_key(source),
        states=_build_states(source),
        columns=sql.SQL(", ").join(
            sql.Identifier("t", name) for name in dict.fromkeys((*table.names, *name_columns(within)))
        ),
        table=source.identifier,
        as_declared=source.as_declared(),
        changes=sql.Identifier(source.overlay_schema or "", name_changes(table)),
        source=source.literal,
        same_row=_match_parameters(source, "t"),
        same_change=_match_parameters(source, "s"),
        is_visible=_show_visibility(source, within, first),
    )
    if schema is None:
        return sql.SQL(FETCH_NOW).format(now=now).as_bytes(None)
    return (
        sql.SQL(FETCH)
        .format(
            now=now,
            join=sql.SQL("LEFT" if within else "FULL"),
            history=sql.Identifier(schema, name_history(table)),
            same_history=_match_parameters(source, "h"),
            source=source.literal,
            circumstances=_show_circumstances(circumstances),
            before=sql.SQL(f"${len(table.key) + 1}"),
            limit=sql.SQL(f"${len(table.key) + 2}"),
        )
        .as_bytes(None)
    )


def _show_circumstances(names: tuple[str, ...]) -> sql.Composable:
    if not names:
        return sql.SQL("NULL, NULL")
    return sql.SQL(", ").join(sql.Identifier("v", name) for name in names)


def _show_visibility(source: Source, within: Shape, first: int) -> sql.Composable:
    """Of a row that is gone nobody can say whether it is within."""
    if not within:
        return sql.SQL("true")
    is_there = sql.SQL("{} IS NOT NULL AND ").format(sql.Identifier("t", source.table.key_names[0]))
    return is_there + compose_predicates(source, within, first)


def _match_parameters(source: Source, alias: str) -> sql.Composable:
    return sql.SQL(" AND ").join(
        sql.SQL(f"{{}} = ${number}::{{}}").format(
            sql.Identifier(alias, column.name), spell_storage_type(column.type)
        )
        for number, column in enumerate(source.table.key, 1)
    )


def _build_key(source: Source) -> sql.Composable:
    parts = [
        sql.SQL(f"${number}::{{}}").format(spell_storage_type(column.type))
        for number, column in enumerate(source.table.key, 1)
    ]
    texts = (spell_text(column.type, part) for column, part in zip(source.table.key, parts, strict=True))
    return sql.SQL("jsonb_build_array({})").format(sql.SQL(", ").join(texts))


def _build_states(source: Source) -> sql.Composable:
    return build_object({column.name: _build_state(source, column) for column in source.table.changeable})


def _build_state(source: Source, column: Column) -> sql.Composable:
    is_there = sql.SQL("{} IS NOT NULL").format(sql.Identifier("t", source.table.key_names[0]))
    own, kept = sql.Identifier("t", column.name), sql.Identifier("s", column.name)
    conflict: sql.Composable = sql.SQL("false")
    if source.is_overlaid([column.name]):
        conflict = sql.SQL(
            "{is_there} AND coalesce({is_changed}, false) AND {own}::{type} IS DISTINCT FROM {synced} "
            "AND {own}::{type} IS DISTINCT FROM {kept}"
        ).format(
            is_there=is_there,
            is_changed=sql.Identifier("s", name_changed(column.name)),
            own=own,
            kept=kept,
            synced=sql.Identifier("s", name_synced(column.name)),
            type=spell_storage_type(column.type),
        )
    return sql.SQL(
        "jsonb_build_object('value', CASE WHEN {is_there} THEN {shown} END, 'synced', {synced}, "
        "'conflict', {conflict})"
    ).format(
        is_there=is_there,
        shown=spell_text(column.type, source.show_column(column.name)),
        synced=spell_text(column.type, own),
        conflict=conflict,
    )


def _read_version(version: int, old: str, new: str, synced: str, *rest: object) -> Version:
    values = (_decode_values(text) for text in (old, new, synced))
    return Version(version, *values, *rest)  # type: ignore[arg-type]
