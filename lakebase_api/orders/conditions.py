"""Conditions on orders: their SQL, which is of this module alone, and their values, which are parameters."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from lakebase_api.orders.order import STATUS, compose_column

EQUAL = "{column} = {value}"
ANY_OF = "{column} = ANY({value})"
GREATER = "{column} > {value}"
LESS = "{column} < {value}"
AT_LEAST = "{column} >= {value}"
AT_MOST = "{column} <= {value}"
IS_NULL = "{column} IS NULL"
IS_NOT_NULL = "{column} IS NOT NULL"


class Condition(NamedTuple):
    """A condition without its value, if it has one."""

    column: str
    statement: str


# Conditions that all hold. Of one shape there is one statement.
Shape = tuple[Condition, ...]


@dataclass(frozen=True)
class Conditions:
    """Conditions that all hold, and the values of those that have one. Immutable and hashable."""

    shape: Shape = ()
    values: tuple[object, ...] = ()

    def __add__(self, other: "Conditions") -> "Conditions":
        """The conditions of both."""
        return Conditions(self.shape + other.shape, self.values + other.values)

    @property
    def parameters(self) -> tuple[object, ...]:
        """The values as psycopg takes them: a tuple is a list of alternatives."""
        return tuple(list(value) if isinstance(value, tuple) else value for value in self.values)


def restrict(column: str, statement: str, *values: object) -> Conditions:
    """A single condition."""
    return Conditions((Condition(column, statement),), values)


def asks_status(shape: Shape) -> bool:
    """Whether the conditions depend on the status of orders."""
    return any(condition.column == STATUS for condition in shape)


def count_values(shape: Shape) -> int:
    """How many of the conditions have a value."""
    return sum("{value}" in condition.statement for condition in shape)


def compose_conditions(shape: Shape, status: sql.Composable, first: int) -> sql.Composable:
    """That the conditions hold for the order ``t``, with ``$first`` and on for their values."""
    values = (sql.SQL(f"${number}") for number in itertools.count(first))
    return compose_conditions_on(shape, status, values)


def compose_conditions_on(
    shape: Shape, status: sql.Composable, values: Iterator[sql.Composable]
) -> sql.Composable:
    """That the conditions hold for the order ``t``, with these expressions for their values in turn."""
    composed: list[sql.Composable] = [
        sql.SQL(statement).format(
            column=compose_column(column, status),
            value=next(values) if "{value}" in statement else sql.SQL(""),
        )
        for column, statement in shape
    ]
    return sql.SQL(" AND ").join(composed or [sql.SQL("true")])
