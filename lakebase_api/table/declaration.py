"""A declared table: its source, key and columns, and what may be asked of each. Immutable."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from lakebase_api.table.types import NUMBERS, UNSORTED_KINDS, Kind, Type


class Filter(StrEnum):
    """A way to filter by a column."""

    ANY = "any"
    RANGE = "range"
    PREFIX = "prefix"
    CONTAINS = "contains"
    NULL = "null"


class Writes(StrEnum):
    """Where changes of a table go: into tables beside it, into itself, or nowhere."""

    OVERLAY = "overlay"
    DIRECT = "direct"
    OFF = "off"


@dataclass(frozen=True, eq=False)
class Change:
    """That a column may be changed, at ``/{key}/<path>``.

    ``transitions`` are pairs of texts, as JSON has the values without quotes: from and to; none: any.
    """

    path: str
    transitions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Column:
    """A column that is served. ``values``, if any, are all that it may be filtered by or changed to."""

    name: str
    type: Type
    may_be_null: bool = False
    filters: tuple[Filter, ...] = ()
    is_sortable: bool = True
    values: tuple[str, ...] = ()
    is_text_in_json: bool = False
    change: Change | None = None
    description: str = ""
    example: Any = None

    @cached_property
    def range_names(self) -> tuple[str, str]:
        """The parameters that bound it from below and above."""
        low, high = ("min", "max") if self.type.kind in NUMBERS else ("from", "to")
        return f"{self.name}_{low}", f"{self.name}_{high}"


@dataclass(frozen=True, eq=False)
class Table:
    """A table or view that is served as a resource, ``name``; ``one`` is what a row of it is called.

    Each has an identity: two are equal only when they are the same.
    """

    name: str
    one: str
    schema: str
    source: str
    columns: tuple[Column, ...]
    key_names: tuple[str, ...]
    writes: Writes = Writes.OVERLAY
    # Whether all callers, and whoever keeps answers on their way, get the same of it.
    is_public: bool = False
    # What Unity Catalog calls it, if it is a copy that Lakebase keeps in step with a table of the lakehouse.
    synced_table: str | None = None
    # Columns that are not shown, but that rows may be chosen by.
    hidden: tuple[Column, ...] = ()
    by_name: Mapping[str, Column] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = (*self.columns, *self.hidden)
        object.__setattr__(self, "by_name", {column.name: column for column in columns})

    def hide(self, names: Collection[str]) -> "Table":
        """The table as it is to whom these columns are hidden."""
        return replace(
            self,
            columns=tuple(column for column in self.columns if column.name not in names),
            hidden=tuple(column for column in self.columns if column.name in names),
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the order of the declaration."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def key(self) -> tuple[Column, ...]:
        """The columns that tell rows apart."""
        return tuple(self.by_name[name] for name in self.key_names)

    @cached_property
    def has_integer_key(self) -> bool:
        """Whether the key is a single whole number, which can be its own cursor."""
        return [column.type.kind for column in self.key] == [Kind.INTEGER]

    @cached_property
    def changeable(self) -> tuple[Column, ...]:
        """The columns that may be changed."""
        return tuple(column for column in self.columns if column.change)

    @property
    def has_overlay(self) -> bool:
        """Whether changes are, or were once, kept in tables beside it."""
        return bool(self.changeable) and self.writes is not Writes.DIRECT

    @cached_property
    def sortable(self) -> tuple[str, ...]:
        """The columns that lists may be sorted by."""
        return tuple(
            column.name
            for column in self.columns
            if column.is_sortable and column.type.kind not in UNSORTED_KINDS
        )
