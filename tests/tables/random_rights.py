"""Rights at random on a declared table: row filters and hidden columns of several roles."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from psycopg import sql

from lakebase_api.table.declaration import Column, Filter, Table
from lakebase_api.table.declared_column import check_filter
from lakebase_api.table.types import Kind
from tests.tables.served import Served
from tests.tables.statements import FILTERS

CALLER = "ann"
SEEN = "seen"


@dataclass(frozen=True)
class DrawnRole:
    """A role that reads a table: its row filter in TOML and in SQL, and what it hides."""

    conditions: Mapping[str, Any]
    where: sql.Composable
    columns: frozenset[str]
    hidden: frozenset[str]


@dataclass(frozen=True, repr=False)
class DrawnRights:
    """The roles of one caller."""

    table: Table
    roles: Sequence[DrawnRole]

    @property
    def hidden(self) -> frozenset[str]:
        """What all roles hide."""
        return frozenset.intersection(*(role.hidden for role in self.roles))

    @property
    def where(self) -> sql.Composable:
        """The rows that one of the roles lets through."""
        return sql.SQL(" OR ").join(sql.SQL("({})").format(role.where) for role in self.roles)

    @property
    def filtered(self) -> frozenset[str]:
        """The columns that row filters look at."""
        return frozenset[str]().union(*(role.columns for role in self.roles))

    def spell(self) -> str:
        """The file of rights."""
        name = json.dumps(self.table.name)
        rights = [f"{self.table.name}:{action}" for action in ("read", "export", "change", "history")]
        lines = ["[roles]", *(f"r{n} = {json.dumps(rights)}" for n, _ in enumerate(self.roles))]
        lines += ["[callers]", f"{CALLER} = {json.dumps([f'r{n}' for n, _ in enumerate(self.roles)])}"]
        rows = [(n, role.conditions) for n, role in enumerate(self.roles) if role.conditions]
        lines += [f"[rows.{name}]", *(f"r{n} = {_spell(conditions)}" for n, conditions in rows)]
        hidden = [(n, sorted(role.hidden)) for n, role in enumerate(self.roles) if role.hidden]
        lines += [f"[hidden.{name}]", *(f"r{n} = {json.dumps(names)}" for n, names in hidden)]
        return "\n".join(lines) + "\n"


class Seen(Served):
    """A table as a caller sees it: a view of what should be shown."""

    @property
    def truth(self) -> sql.Identifier:
        """The view."""
        return sql.Identifier(SEEN, self.table.name)


def see(served: Served, rights: DrawnRights) -> Seen:
    """The table as the caller sees it, whom the client of ``served`` is from then on."""
    table = rights.table.hide(rights.hidden)
    view = sql.SQL("CREATE SCHEMA {}; CREATE VIEW {}.{} AS SELECT {} FROM {} WHERE {}").format(
        sql.Identifier(SEEN),
        sql.Identifier(SEEN),
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, table.names)),
        served.truth,
        rights.where,
    )
    served.connection.execute(view)
    served.client.environ_base["HTTP_X_FORWARDED_USER"] = CALLER
    return Seen(table, served.client, served.connection)


@st.composite
def rights_to(draw: st.DrawFn, table: Table) -> DrawnRights:
    """Rights of one caller to a table."""
    return DrawnRights(table, draw(st.lists(_roles(table), min_size=1, max_size=2)))


@st.composite
def _roles(draw: st.DrawFn, table: Table) -> DrawnRole:
    cases = [
        (column, query, where)
        for column in table.columns
        for asked in Filter
        if _may_filter(column, asked)
        for query, where in FILTERS[asked](column)
    ]
    chosen = draw(st.lists(st.sampled_from(cases), max_size=2, unique_by=lambda case: tuple(case[1])))
    conditions: dict[str, Any] = {}
    for _, query, _ in chosen:
        conditions |= {name: _read(name, value) for name, value in query.items()}
    # What two cases say of one bound is said once.
    taken = [
        case
        for case in chosen
        if all(conditions[name] == _read(name, value) for name, value in case[1].items())
    ]
    conditions = {name: conditions[name] for case in taken for name in case[1]}
    wheres: list[sql.Composable] = [sql.SQL("({})").format(where) for _, _, where in taken]
    where = sql.SQL(" AND ").join(wheres or [sql.SQL("true")])
    others = [name for name in table.names if name not in table.key_names]
    hidden = draw(st.sets(st.sampled_from(others), max_size=len(others) - 1)) if len(others) > 1 else set()
    return DrawnRole(conditions, where, frozenset(case[0].name for case in taken), frozenset(hidden))


def _may_filter(column: Column, asked: Filter) -> bool:
    kind = column.type.element or column.type
    if asked is Filter.CONTAINS and kind.kind is Kind.FLOAT:
        return False
    return check_filter(column.type, asked, may_be_null=column.may_be_null) is None


def _read(name: str, value: Any) -> Any:
    return value == "true" if name.endswith("_null") else value


def _spell(conditions: Mapping[str, Any]) -> str:
    pairs = (f"{json.dumps(name)} = {json.dumps(value)}" for name, value in conditions.items())
    return f"{{ {', '.join(pairs)} }}"
