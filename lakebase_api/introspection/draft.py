"""Guesses how a table is to be declared from what its catalogues say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lakebase_api.introspection.catalogue import FoundColumn, FoundIndex, FoundTable
from lakebase_api.table.declaration import Filter
from lakebase_api.table.types import KEY_KINDS, UNSORTED_KINDS, Kind, Type, UnknownType, find_type
from lakebase_api.table.unserved import explain_refusal

# So few that a list of them can be shown to choose from.
FEW = 100
# Fewer rows than this are read in a moment, whatever is asked of them.
SMALL = 10_000
# As people write them.
SHORT = (
    (r"character varying", "varchar"),
    (r"\bcharacter\b", "char"),
    (r"timestamp(\(\d\))? with time zone", r"timestamptz\1"),
    (r" without time zone", ""),
)
CHOSEN_KINDS = (Kind.TEXT, Kind.ENUM, Kind.BOOLEAN, Kind.INTEGER)
EQUAL_KINDS = (Kind.INTEGER, Kind.TEXT, Kind.ENUM, Kind.BOOLEAN, Kind.UUID)


class NotServed(Exception):
    """The table cannot be declared; the text says why, and the way out."""


@dataclass(frozen=True)
class DraftColumn:
    """How a column is to be declared, and why. ``refusal``: why it cannot be."""

    name: str
    type: str
    may_be_null: bool = False
    filters: tuple[Filter, ...] = ()
    is_sortable: bool = True
    labels: Sequence[str] = ()
    reasons: tuple[str, ...] = ()
    refusal: str = ""
    is_few: bool = False
    kind: Kind | None = None


@dataclass(frozen=True)
class Draft:
    """How a table is to be declared, and why."""

    name: str
    found: FoundTable
    key: tuple[str, ...]
    key_reason: str
    columns: tuple[DraftColumn, ...]


def draft_table(found: FoundTable, name: str, key: Sequence[str] = ()) -> Draft:
    """The declaration of a table; ``key`` is what somebody says it is. Raises ``NotServed``."""
    chosen, reason = _say_key(found, key) if key else _choose_key(found)
    columns = tuple(_draft_column(found, column, chosen) for column in found.columns)
    for column in columns:
        if column.name in chosen and (column.refusal or column.kind not in KEY_KINDS):
            why = column.refusal or f"a key cannot be {column.type}."
            raise NotServed(f"its key is {', '.join(chosen)}, and {column.name} is {column.type}: {why}")
    return Draft(name, found, chosen, reason, columns)


def shorten(kind: str) -> str:
    """A type as people write it."""
    for long, short in SHORT:
        kind = re.sub(long, short, kind)
    return kind


def read_type(found: FoundColumn) -> Type:
    """The type as it is declared. Raises ``UnknownType``."""
    if found.type_kind == "d":
        raise UnknownType("arrays of domains are not served; a view can cast to an array of the type below.")
    if found.type_kind == "c":
        raise UnknownType(explain_refusal("record") or "")
    if found.type_kind in "rm":
        raise UnknownType(explain_refusal("int4range") or "")
    if found.type_kind == "b" and (refusal := explain_refusal(found.type_name)):
        raise UnknownType(refusal)
    return find_type(found.type, is_enum=found.type_kind == "e")


def _say_key(found: FoundTable, key: Sequence[str]) -> tuple[tuple[str, ...], str]:
    known = [column.name for column in found.columns]
    for name in key:
        if name not in known:
            raise NotServed(f"it has no column {name}; it has {', '.join(known)}.")
    return tuple(key), "as was said; no index makes sure that it is unique and not NULL"


def _choose_key(found: FoundTable) -> tuple[tuple[str, ...], str]:
    """Of the unique indexes on columns that are not NULL the primary key, else the one of fewest columns."""
    nullable = {column.name for column in found.columns if column.may_be_null and not found.is_view}
    unique = [index for index in found.indexes if index.is_unique and not nullable & set(index.columns)]
    if not unique:
        raise NotServed(
            "no unique index on columns that are NOT NULL says which columns tell its rows apart. "
            "Say it by --key COLUMN[,COLUMN], for the declaration to have key = […]."
        )
    chosen, *others = unique
    reason = "primary key" if chosen.is_primary else f"unique index {chosen.name}"
    if others:
        spelled = ", ".join(f"{other.name} ({', '.join(other.columns)})" for other in others)
        reason += f"; unique as well: {spelled}"
    return tuple(chosen.columns), reason


def _draft_column(table: FoundTable, found: FoundColumn, key: Sequence[str]) -> DraftColumn:
    try:
        kind = read_type(found)
    except UnknownType as refusal:
        return DraftColumn(found.name, shorten(found.type), refusal=str(refusal))
    draft = DraftColumn(
        found.name,
        shorten(found.type),
        may_be_null=found.may_be_null and found.name not in key,
        labels=found.labels if kind.enum else (),
        kind=kind.kind,
    )
    return _guess_use(table, found, kind, draft, key)


def _guess_use(
    table: FoundTable, found: FoundColumn, kind: Type, draft: DraftColumn, key: Sequence[str]
) -> DraftColumn:
    """Filters and sorts, with their reasons."""
    indexes = [index for index in table.indexes if index.columns[0] == found.name]
    ordered = [index for index in indexes if index.method == "btree"]
    # Of one that is empty, nobody knows how many there will be.
    is_small = table.rows is not None and 0 < table.rows <= SMALL
    is_few = kind.kind in CHOSEN_KINDS and (
        kind.kind in (Kind.ENUM, Kind.BOOLEAN) or (found.distinct is not None and 0 < found.distinct <= FEW)
    )
    filters = _find_filters(kind, indexes, is_used=bool(ordered) or is_few or is_small)
    can_sort = kind.kind not in UNSORTED_KINDS
    is_sortable = not can_sort or found.name in key or bool(ordered) or is_few or is_small
    reasons = [_spell_index(index, filters) for index in indexes]
    if (figures := _spell_figures(table, found)) is not None:
        reasons.append(figures)
    elif is_few:
        reasons.append("an enum" if found.labels else "true or false")
    if is_small and not ordered and not is_few and can_sort:
        reasons.append("few rows")
    if not is_sortable:
        reasons.append("no index to sort by")
    return replace(
        draft,
        # A whole key is found by the path, and by ?keys=.
        filters=() if list(key) == [found.name] else filters,
        is_sortable=is_sortable,
        reasons=tuple(reasons),
        is_few=is_few,
    )


def _find_filters(kind: Type, indexes: Sequence[FoundIndex], *, is_used: bool) -> tuple[Filter, ...]:
    filters = []
    if is_used and kind.kind in EQUAL_KINDS:
        filters.append(Filter.ANY)
    elif is_used and kind.kind not in UNSORTED_KINDS:
        filters.append(Filter.RANGE)
    if kind.kind is Kind.TEXT and any(index.method == "btree" and index.finds_prefix for index in indexes):
        filters.append(Filter.PREFIX)
    if kind.kind in (Kind.ARRAY, Kind.JSON) and any(index.method == "gin" for index in indexes):
        filters.append(Filter.CONTAINS)
    return tuple(filters)


def _spell_index(index: FoundIndex, filters: Sequence[Filter]) -> str:
    finds_prefix = Filter.PREFIX in filters and index.method == "btree" and index.finds_prefix
    return f"index {index.name}{', which finds prefixes' if finds_prefix else ''}"


def _spell_figures(table: FoundTable, found: FoundColumn) -> str | None:
    if found.distinct is None:
        return None
    rows = f" in {table.rows:,} rows" if table.rows is not None else ""
    return f"{found.distinct:,} different value{'' if found.distinct == 1 else 's'}{rows}"
