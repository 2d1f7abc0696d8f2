"""Row filters of roles: conditions that each caller may fill with other values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakebase_api.access.caller import Caller
from lakebase_api.sql.filters import restrict_column
from lakebase_api.sql.predicates import EVERYTHING, Operator, Predicates, either
from lakebase_api.table.declaration import Column, Filter
from lakebase_api.table.values import parse_value


@dataclass(frozen=True)
class OfCaller:
    """A value that each caller has another of: their subject, or the claim at a path."""

    claim: tuple[str, ...] = ()

    def find(self, caller: Caller) -> list[str]:
        """The values as texts; none if there is no such claim."""
        return find_claim(caller.claims, self.claim) if self.claim else [caller.subject]


@dataclass(frozen=True)
class Condition:
    """A condition on rows: a filter by its column, and its value or who has it."""

    column: Column
    asked: Filter
    operator: Operator
    value: Any

    def fill(self, caller: Caller) -> Predicates | None:
        """The predicate for the caller; ``None`` if no row fulfils it."""
        if not isinstance(self.value, OfCaller):
            return restrict_column(self.column, self.asked, self.operator, self.value)
        values = list(self._read(self.value.find(caller)))
        if not values:
            return None
        several = self.asked is Filter.ANY
        return restrict_column(self.column, self.asked, self.operator, values if several else values[0])

    def _read(self, texts: Sequence[str]) -> Iterator[Any]:
        for text in texts:
            try:
                yield parse_value(self.column.type, text)
            except ValueError:
                continue  # no row has such a value


# All of them hold.
RowFilter = tuple[Condition, ...]


def find_claim(claims: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    """The values of the claim at a path as texts: of a list each; none if there is none, or an object."""
    found: Any = claims
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return []
        found = found[name]
    values = found if isinstance(found, list) else [found]
    return [_spell(value) for value in values if isinstance(value, str | int | float)]


def _spell(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def fill_one_of(filters: Sequence[RowFilter], caller: Caller) -> Predicates:
    """That one of the filters lets a row through."""
    found = [_fill_all(caller, conditions) for conditions in filters]
    alternatives = [predicates for predicates in found if predicates is not None]
    return alternatives[0] if len(alternatives) == 1 else either(alternatives)


def _fill_all(caller: Caller, conditions: RowFilter) -> Predicates | None:
    """That a row fulfils all conditions; ``None`` if none can."""
    all_of_them = EVERYTHING
    for condition in conditions:
        predicates = condition.fill(caller)
        if predicates is None:
            return None
        all_of_them += predicates
    return all_of_them
