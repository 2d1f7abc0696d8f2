"""Predicates on rows: their SQL, which is of this module alone, and their values, which are parameters."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from psycopg import sql

from lakebase_api.sql.source import EVERY_KEY, Source
from lakebase_api.table.types import Kind, Type


class Operator(StrEnum):
    """What a predicate says of a column."""

    EQUAL = "{column} = {value}"
    ANY_OF = "{column} = ANY({values})"
    GREATER = "{column} > {value}"
    LESS = "{column} < {value}"
    AT_LEAST = "{column} >= {value}"
    AT_MOST = "{column} <= {value}"
    LIKE = "{column} LIKE {value}"
    CONTAINS = "{column} @> {value}"
    IS_NULL = "{column} IS NULL"
    IS_NOT_NULL = "{column} IS NOT NULL"

    @property
    def has_value(self) -> bool:
        """Whether it takes a value."""
        return "{value" in self.value


class Predicate(NamedTuple):
    """A predicate without its value, if it has one.

    The value is of the type that is declared, or, if it came from the column, ``is_own``: of the column's.
    A `real` of 0.1 equals no other number of 0.1.
    """

    column: str
    operator: Operator
    is_own: bool = False


class Either(NamedTuple):
    """Sets of predicates one of which holds as a whole; nothing does where there is none."""

    alternatives: "tuple[Shape, ...]"


# What all holds. Of one shape there is one statement.
Shape = tuple[Predicate | Either, ...]


@dataclass(frozen=True)
class Predicates:
    """Predicates that all hold, and the values of those that have one. Immutable and hashable."""

    shape: Shape = ()
    values: tuple[object, ...] = ()

    def __add__(self, other: "Predicates") -> "Predicates":
        """The predicates of both."""
        return Predicates(self.shape + other.shape, self.values + other.values)

    @property
    def parameters(self) -> tuple[object, ...]:
        """The values as PostgreSQL takes them: a tuple is a list of alternatives."""
        # As a text: psycopg looks through a list for its type, which takes four times as long.
        return tuple([spell_array(value) if isinstance(value, tuple) else value for value in self.values])


EVERYTHING = Predicates()


def restrict(column: str, operator: Operator, *values: object, is_own: bool = False) -> Predicates:
    """A single predicate."""
    return Predicates((Predicate(column, operator, is_own),), values)


def either(alternatives: Sequence[Predicates]) -> Predicates:
    """That one of them holds."""
    shapes = tuple(predicates.shape for predicates in alternatives)
    return Predicates((Either(shapes),), tuple(itertools.chain(*(each.values for each in alternatives))))


def spell_array(values: Sequence[object]) -> str:
    """An array as PostgreSQL reads it, of elements of any type."""
    return f"{{{','.join(map(_spell_element, values))}}}"


def _spell_element(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def list_predicates(shape: Shape) -> Iterator[Predicate]:
    """Each predicate, in the order of the values."""
    for part in shape:
        if isinstance(part, Either):
            yield from itertools.chain.from_iterable(map(list_predicates, part.alternatives))
        else:
            yield part


def name_columns(shape: Shape) -> frozenset[str]:
    """The columns that the predicates look at."""
    return frozenset(predicate.column for predicate in list_predicates(shape))


def count_values(shape: Shape) -> int:
    """How many of the predicates have a value."""
    return sum(predicate.operator.has_value for predicate in list_predicates(shape))


def is_plan_reusable(shape: Shape, walked: str) -> bool:
    """Whether a plan for some values is good for all, of a statement that walks in the order of a column.

    With a range of another column it is not: a plan that is good for a year may read the whole table for a
    day. Nor can a plan that is made without the value use an index for a prefix.
    """
    return all(
        operator in (Operator.EQUAL, Operator.ANY_OF, Operator.IS_NULL, Operator.IS_NOT_NULL)
        or (column == walked and operator is not Operator.LIKE)
        for column, operator, _ in list_predicates(shape)
    )


def describe_rows(
    source: Source,
    shape: Shape,
    columns: Collection[str] = (),
    *,
    values: Iterator[sql.Composable] | None = None,
    name_type: Callable[[Type], str] | None = None,
    first: int = 1,
    of: sql.Composable | None = None,
    bound: sql.Composable = EVERY_KEY,
) -> dict[str, sql.Composable]:
    """What every statement that reads rows says of them: where ``rows`` come from, and what they fulfil.

    ``columns`` are those that are shown. The values of the predicates are ``$first`` and on, or ``values``,
    of types that ``name_type`` names. ``of`` and ``bound`` as for ``Source.show_rows``.
    """
    numbered = (sql.SQL(f"${number}") for number in itertools.count(first))
    return {
        "rows": source.show_rows({*columns, *name_columns(shape)}, of=of, bound=bound),
        "predicates": compose_predicates_on(source, shape, values or numbered, name_type=name_type),
        "as_declared": source.as_declared(),
    }


def compose_predicates(source: Source, shape: Shape, first: int) -> sql.Composable:
    """That the predicates hold for the row ``t``, with ``$first`` and on for their values."""
    return compose_predicates_on(source, shape, (sql.SQL(f"${number}") for number in itertools.count(first)))


def compose_predicates_on(
    source: Source,
    shape: Shape,
    values: Iterator[sql.Composable],
    *,
    show: Callable[[str], sql.Composable] | None = None,
    name_type: Callable[[Type], str] | None = None,
) -> sql.Composable:
    """That the predicates hold for the row ``t``, with these expressions for their values in turn.

    ``show`` gives the expression of a column, if it is not the column as it is shown. ``name_type`` names the
    type that the expressions have, of a declared one; without it they have none yet.
    """
    return _Composer(source, values, show or source.show_column, name_type).compose_all(shape)


def find_cast(source: Source, predicate: Predicate) -> str:
    """The type that the predicate's value is read as; empty where the column decides."""
    kind = source.table.by_name[predicate.column].type
    if predicate.operator is Operator.ANY_OF:
        return f"{kind.cast or 'text'}[]"
    if predicate.operator is Operator.CONTAINS and kind.kind is Kind.ARRAY:
        # An array contains those of its own type alone.
        return ""
    return "" if predicate.is_own or predicate.operator is Operator.LIKE else kind.cast


@dataclass(frozen=True)
class _Composer:
    """Composes predicates, which take the expressions for their values in turn."""

    source: Source
    values: Iterator[sql.Composable]
    show: Callable[[str], sql.Composable]
    name_type: Callable[[Type], str] | None

    def compose_all(self, shape: Shape) -> sql.Composable:
        composed = [
            self._compose_either(part) if isinstance(part, Either) else self._compose(part) for part in shape
        ]
        return sql.SQL(" AND ").join(composed or [sql.SQL("true")])

    def _compose_either(self, either: Either) -> sql.Composable:
        alternatives: list[sql.Composable] = [
            sql.SQL("({})").format(self.compose_all(shape)) for shape in either.alternatives
        ]
        return sql.SQL("({})").format(sql.SQL(" OR ").join(alternatives or [sql.SQL("false")]))

    def _compose(self, predicate: Predicate) -> sql.Composable:
        name, operator, _ = predicate
        value = next(self.values) if operator.has_value else sql.SQL("")
        if operator.has_value and (cast := find_cast(self.source, predicate)):
            value = sql.SQL("{}::{}").format(value, sql.SQL(cast))
        column, kind = self.show(name), self.source.table.by_name[name].type
        if self.name_type and operator is Operator.CONTAINS and kind.kind is Kind.ARRAY:
            column = sql.SQL("({})::{}").format(column, sql.SQL(self.name_type(kind)))
        return sql.SQL(operator.value).format(column=column, value=value, values=value)
