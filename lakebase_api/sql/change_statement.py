"""Composes the statement that changes rows of a declared table, for each set of columns."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple

from psycopg import sql

from lakebase_api.sql.change_sql import (
    CHANGE,
    DIRECT,
    EXPIRED_KEYS_REMOVED,
    FIRST_OF_CIRCUMSTANCES,
    IS_EXPIRED,
    IS_OWN_KEY,
    KEY_LIFE,
    LAST_VERSION,
    MANY_ITEMS,
    ONE_ITEM,
    OVERLAID,
    SEPARATOR,
)
from lakebase_api.sql.change_transitions import compose_illegal
from lakebase_api.sql.change_values import build_object, join, name_value, spell_text
from lakebase_api.sql.change_writes import Names, compose_direct_write, compose_write_beside
from lakebase_api.sql.overlay_names import IDEMPOTENCY_TABLE, name_changes, name_history, spell_storage_type
from lakebase_api.sql.predicates import Shape, compose_predicates_on, name_columns
from lakebase_api.sql.source import Source, compose_etag, name_changed
from lakebase_api.table.declaration import Column
from lakebase_api.table.types import Kind, Type

# There is one statement for each set of columns that requests change.
STATEMENTS_KEPT = 256


class StatementShape(NamedTuple):
    """What tells the statements on one table apart, beside their values.

    ``columns`` are changed; one of a single row is smaller than one of many.
    """

    columns: tuple[str, ...]
    is_many: bool
    is_withdrawal: bool
    requires_match: bool
    within: Shape = ()
    # Columns of the history, each with a parameter.
    circumstances: tuple[str, ...] = ()


@lru_cache(STATEMENTS_KEPT)
def compose_change(source: Source, schema: str, shape: StatementShape) -> bytes:
    """The statement. ``source`` has an overlay, or is changed itself; ``schema`` has the tables beside it.

    Its parameters are whether all or none are changed, the caller, the request's id, its idempotency key and
    fingerprint, the circumstances, and then, of one row or in an array of many: each part of the key, each
    value unless they are withdrawn, and the ETags; at last the values of the predicates.
    """
    return sql.SQL(CHANGE).format(**_Parts(source, schema, shape).compose()).as_bytes(None)


class _Parts:
    """The parts of one statement."""

    def __init__(self, source: Source, schema: str, shape: StatementShape) -> None:
        self.source, self.schema, self.shape = source, schema, shape
        self.table = source.table
        self.is_direct = source.overlay_schema is None
        self.columns = [self.table.by_name[name] for name in shape.columns]
        self.first_of_items = FIRST_OF_CIRCUMSTANCES + len(shape.circumstances)

    def compose(self) -> dict[str, sql.Composable]:
        """All of them."""
        names, recorded = self.names, self._compose_recorded()
        return {
            **names,
            **recorded,
            **self._compose_write(),
            "item": self._compose_item(),
            "current": self._compose_current(),
            "requires_match": sql.Literal(self.shape.requires_match),
            "is_withdrawal": sql.Literal(self.shape.is_withdrawal),
            "separator": sql.Literal(SEPARATOR),
            **self._compose_circumstances(),
            "is_unchanged": self._compose_unchanged(),
            # A withdrawal always may be.
            "illegal": compose_illegal(() if self.shape.is_withdrawal else self.columns),
            "is_expired": sql.SQL(IS_EXPIRED).format(sql.Literal(KEY_LIFE)),
            "keys_removed": sql.Literal(EXPIRED_KEYS_REMOVED),
            "is_own_key": sql.SQL(IS_OWN_KEY).format(**names),
            "key_texts": join(
                spell_text(column.type, name_value("k", n)) for n, column in enumerate(self.table.key)
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
            "key": join(map(sql.Identifier, self.table.key_names)),
            "item_key": join(name_value("k", n) for n in range(len(self.table.key))),
            "same_row": self._match_item("t"),
            "same_change": self._match_item("s"),
        }

    def _match_item(self, alias: str) -> sql.Composable:
        return sql.SQL(" AND ").join(
            sql.SQL("{} = item.{}").format(sql.Identifier(alias, name), name_value("k", n))
            for n, name in enumerate(self.table.key_names)
        )

    def _compose_item(self) -> sql.Composable:
        """The items, from the parameters."""
        typed = self._list_typed()
        numbered = [(number, *each) for number, each in enumerate(typed, self.first_of_items)]
        if self.shape.is_many:
            arrays = join(sql.SQL(f"${number}::{{}}[]").format(kind) for number, _, kind in numbered)
            return sql.SQL(MANY_ITEMS).format(arrays=arrays, names=join(name for name, _ in typed))
        values = join(
            sql.SQL(f"${number}::{{}} AS {{}}").format(kind, name) for number, name, kind in numbered
        )
        return sql.SQL(ONE_ITEM).format(values=values)

    def _list_typed(self) -> list[tuple[sql.Composable, sql.Composable]]:
        """The parameters of an item by name, each with its type."""
        typed = [(name_value("k", n), spell_storage_type(each.type)) for n, each in enumerate(self.table.key)]
        if not self.shape.is_withdrawal:
            typed += [
                (name_value("w", n), _spell_input_type(each.type)) for n, each in enumerate(self.columns)
            ]
        return [*typed, (sql.SQL("if_match"), sql.SQL("text"))]

    def _compose_current(self) -> sql.Composable:
        """Each item beside the row as it is."""
        same = sql.SQL("{} AND h._source = {}").format(self._match_item("h"), self.source.literal)
        changed = {column.name: self._show_changed(n, column) for n, column in enumerate(self.columns)}

        def show_next(name: str) -> sql.Composable:
            return changed.get(name) or self.source.show_column(name)

        is_there = sql.SQL("{} IS NOT NULL").format(sql.Identifier("t", self.table.key_names[0]))
        return sql.SQL(DIRECT if self.is_direct else OVERLAID).format(
            **self.names,
            is_known=self._is_within(is_there, self.source.show_column),
            stays_within=self._is_within(sql.SQL("true"), show_next),
            columns=join(self._show_column(n, column) for n, column in enumerate(self.columns)),
            all_columns=join(map(sql.Identifier, self._name_needed())),
            etag=self.source.show_etag(),
            next_etag=compose_etag(map(show_next, self.table.names), sql.SQL("last.version + 1")),
            last_version=sql.SQL(LAST_VERSION).format(same_history=same, **self.names),
        )

    def _is_within(self, condition: sql.Composable, show: Callable[[str], sql.Composable]) -> sql.Composable:
        """That the condition holds, and the predicates with these expressions for columns."""
        if not self.shape.within:
            return condition
        numbers = itertools.count(self.first_of_items + len(self._list_typed()))
        values = (sql.SQL(f"${number}") for number in numbers)
        holds = compose_predicates_on(self.source, self.shape.within, values, show=show)
        return sql.SQL("({} AND coalesce({}, false))").format(condition, holds)

    def _name_needed(self) -> Iterable[str]:
        return dict.fromkeys((*self.table.names, *name_columns(self.shape.within)))

    def _show_column(self, n: int, column: Column) -> sql.Composable:
        now = sql.SQL("{} AS {}").format(self.source.show_column(column.name), name_value("o", n))
        if self.is_direct:
            return now
        synced = sql.SQL("{} AS {}").format(sql.Identifier("t", column.name), name_value("y", n))
        then = sql.SQL("{} AS {}").format(self._show_changed(n, column), name_value("n", n))
        if not self.shape.is_withdrawal:
            return join([now, synced, then])
        is_changed = sql.Identifier("s", name_changed(column.name))
        changed = sql.SQL("coalesce({}, false) AS {}").format(is_changed, name_value("c", n))
        return join([now, synced, then, changed])

    def _show_changed(self, n: int, column: Column) -> sql.Composable:
        """The column as reads will show it, of the type that it has there."""
        parts = {"own": sql.Identifier("t", column.name), "kept": sql.Identifier("s", column.name)}
        if self.shape.is_withdrawal:
            return sql.SQL("CASE WHEN false THEN {kept} ELSE {own} END").format(**parts)
        return sql.SQL("CASE WHEN true THEN item.{wanted} ELSE {own} END").format(
            wanted=name_value("w", n), **parts
        )

    def _compose_unchanged(self) -> sql.Composable:
        template = "NOT {changed}" if self.shape.is_withdrawal else "{now} IS NOT DISTINCT FROM {wanted}"
        return sql.SQL(" AND ").join(
            sql.SQL(template).format(
                changed=name_value("c", n), now=name_value("o", n), wanted=name_value("w", n)
            )
            for n in range(len(self.columns))
        )

    def _compose_recorded(self) -> dict[str, sql.Composable]:
        """The values that the history and the answer have."""
        nothing = {column.name: sql.SQL("NULL::text") for column in self.columns}
        then = {column.name: name_value("n", n) for n, column in enumerate(self.columns)}
        now = {column.name: name_value("o", n) for n, column in enumerate(self.columns)}
        own = {column.name: name_value("y", n) for n, column in enumerate(self.columns)}
        return {
            "old": self._build_object(now),
            "new": self._build_object(then),
            "synced": self._build_object(nothing if self.is_direct else own),
            # Of a row that the caller does not have.
            "nothing": self._build_object(nothing),
        }

    def _build_object(self, values: Mapping[str, sql.Composable]) -> sql.Composable:
        return build_object(
            {column.name: spell_text(column.type, values[column.name]) for column in self.columns}
        )

    def _compose_circumstances(self) -> dict[str, sql.Composable]:
        """What the history has of them, behind other columns."""
        names = self.shape.circumstances
        values = [f", ${number}::text" for number in range(FIRST_OF_CIRCUMSTANCES, self.first_of_items)]
        return {
            "circumstances": sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in names),
            "circumstance_values": sql.SQL("").join(map(sql.SQL, values)),
        }

    def _compose_write(self) -> Names:
        if self.is_direct:
            return compose_direct_write(self.source, self.columns, self.names)
        return compose_write_beside(self.columns, self.names, is_withdrawal=self.shape.is_withdrawal)


def _spell_input_type(kind: Type) -> sql.SQL:
    """The type that a value is read as: the declared one, with its length and precision."""
    return sql.SQL(kind.cast if kind.kind is Kind.INTEGER else kind.name)
