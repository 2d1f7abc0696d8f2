"""Asks the database's catalogues about a role and the tables it needs: all of them in a few statements.

Only catalogues are read, and no lock is taken on a table; what is not a table is locked as by a SELECT, and
its keys are looked at.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from lakebase_api.doctor import statements
from lakebase_api.doctor.facts import Column, Facts, Index, Key, Own, Relation, Role, Seen, Use
from lakebase_api.doctor.marks import name_source
from lakebase_api.lakebase.connection import Connection
from lakebase_api.settings import Settings
from lakebase_api.sql.overlay_names import list_privileges
from lakebase_api.sql.overlay_state import find_tables, read_version
from lakebase_api.table import declaration
from lakebase_api.table.declaration import Filter, Table

T = TypeVar("T")

MOST_LOOKED_AT = 1_000_000
# Seconds for the rows of one table.
LONGEST_LOOK = 2.0

NO_KEY = Key(lacking=0, is_beyond_indexes=False)
USES = {
    Filter.ANY: Use.ANY,
    Filter.NULL: Use.ANY,
    Filter.RANGE: Use.RANGE,
    Filter.PREFIX: Use.PREFIX,
    Filter.CONTAINS: Use.CONTAINS,
}


@dataclass(frozen=True)
class Catalogues:
    """Where to ask: a connection in autocommit mode; ``role`` is whom for, by default that of the session."""

    connection: Connection
    settings: Settings
    role: str | None = None

    def gather(self, tables: Sequence[Table], look_until: float) -> tuple[Role, list[Facts]] | None:
        """What is known of the role and these tables; ``None`` when there is no such role.

        Rows are looked at until a time of ``time.monotonic()``. Raises psycopg's errors.
        """
        role = self._find_role()
        if role is None:
            return None
        relations = {relation.name: relation for relation in self._find_relations(tables, role)}
        there = [table for table in tables if relations[table.name].oid]
        wanted = Jsonb([_describe(table, relations[table.name]) for table in there])
        columns = self._group(Column, statements.FIND_COLUMNS, wanted=wanted, role=role.role_oid)
        keys = self._group(Key, statements.FIND_KEYS, wanted=wanted)
        uses = Jsonb([use for table in there for use in _describe_uses(table)])
        indexes = self._group(_build_index, statements.FIND_INDEXES, wanted=wanted, uses=uses)
        similar = self._find_similar([table for table in tables if table not in there])
        own = self._find_own(tables, role)
        found = [
            Facts(
                table=table,
                role=role,
                relation=relations[table.name],
                columns={column.name: column for column in columns[table.name]},
                indexes={(index.columns, index.use): index for index in indexes[table.name]},
                key=next(iter(keys[table.name]), NO_KEY),
                seen=None,
                own=own,
                similar=similar[table.name],
            )
            for table in tables
        ]
        return role, [self._look(facts, look_until) for facts in found]

    def _find_role(self) -> Role | None:
        names = {"role": self.role, "status_schema": self.settings.status_schema}
        cursor = self.connection.cursor(row_factory=class_row(Role))
        return cursor.execute(statements.FIND_ROLE, names).fetchone()

    def _find_relations(self, tables: Sequence[Table], role: Role) -> list[Relation]:
        values = {"wanted": Jsonb([name_source(table) for table in tables]), "role": role.role_oid}
        cursor = self.connection.cursor(row_factory=class_row(Relation))
        return cursor.execute(statements.FIND_RELATIONS, values).fetchall()

    def _group(self, build: Callable[..., T], statement: str, **values: object) -> dict[str, list[T]]:
        """What is built of the rows of the statement, by the name of the table that each begins with."""
        found: dict[str, list[T]] = defaultdict(list)
        for row in self.connection.cursor(row_factory=dict_row).execute(statement, values):
            found[row.pop("root")].append(build(**row))
        return found

    def _find_similar(self, tables: Sequence[Table]) -> dict[str, list[tuple[str, str]]]:
        wanted = [{"name": table.name, "columns": list(table.names)} for table in tables]
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        if wanted:
            for name, *similar in self.connection.execute(statements.FIND_SIMILAR, {"wanted": Jsonb(wanted)}):
                found[name].append((similar[0], similar[1]))
        return found

    def _find_own(self, tables: Sequence[Table], role: Role) -> Own:
        changeable = [table for table in tables if table.changeable]
        if not changeable:
            return Own({}, {}, None)
        wanted = [(name, each) for name, needed in list_privileges(changeable).items() for each in needed]
        schema = self.settings.status_schema
        values = {
            "role": role.role_oid,
            "schema": schema,
            "tables": [name for name, _ in wanted],
            "privileges": [privilege for _, privilege in wanted],
        }
        rows = self.connection.execute(statements.FIND_PRIVILEGES, values)
        return Own(
            privileges={(name, privilege): is_granted for name, privilege, is_granted in rows},
            found=find_tables(self.connection, schema, changeable),
            # The session's own rights decide, whichever role is looked at.
            version=read_version(self.connection, schema),
        )

    def _look(self, facts: Facts, look_until: float) -> Facts:
        seconds = min(LONGEST_LOOK, look_until - time.monotonic())
        if seconds <= 0 or not _must_look(facts):
            return facts
        return replace(facts, seen=self._look_at_keys(facts.table, seconds))

    def _look_at_keys(self, table: Table, seconds: float) -> Seen | None:
        key = sql.SQL(", ").join(map(sql.Identifier, table.key_names))
        parts = [sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in table.key_names]
        statement = sql.SQL(statements.LOOK_AT_KEYS).format(
            key=key if len(table.key) == 1 else sql.SQL("ROW({})").format(key),
            is_whole=sql.SQL(" AND ").join(parts),
            table=sql.Identifier(table.schema, table.source),
            most=sql.Literal(MOST_LOOKED_AT),
        )
        limit = sql.SQL(statements.LONGEST_LOOK).format(
            milliseconds=sql.Literal(max(1, round(seconds * 1000)))
        )
        try:
            with self.connection.transaction():
                self.connection.execute(limit)
                cursor = self.connection.cursor(row_factory=class_row(Seen))
                return cursor.execute(statement).fetchone()
        except psycopg.Error:
            if self.connection.closed:
                raise
            return None


def _describe(table: Table, relation: Relation) -> dict[str, Any]:
    return {
        "name": table.name,
        "oid": relation.oid,
        "columns": list(table.names),
        "key": list(table.key_names),
    }


def find_uses(column: declaration.Column) -> Iterator[Use]:
    """What indexes that begin with the column are wanted for."""
    yield from dict.fromkeys(USES[each] for each in column.filters)


def _describe_uses(table: Table) -> Iterator[Mapping[str, object]]:
    yield {"root": table.name, "columns": list(table.key_names), "use": Use.KEY}
    for column in table.columns:
        for use in find_uses(column):
            yield {"root": table.name, "columns": [column.name], "use": use}


def _build_index(columns: list[str], use: str, invalid: list[str], **values: Any) -> Index:
    return Index(columns=tuple(columns), use=Use(use), invalid=tuple(invalid), **values)


def _must_look(facts: Facts) -> bool:
    """Whether only the rows can say what the keys are like. A materialized view cannot say NOT NULL."""
    may_look = (
        facts.has_key
        and facts.relation.may_use_schema
        and all(facts.columns[name].may_select for name in facts.table.key_names)
    )
    return bool(may_look) and (facts.key.is_beyond_indexes or facts.relation.kind == "m")
