"""What the filters of a column mean: the names they go by, and the predicates they make of values."""

from typing import Any

from lakebase_api.sql.predicates import Operator, Predicates, restrict, spell_array
from lakebase_api.table.declaration import Column, Filter
from lakebase_api.table.types import Kind

LIKE_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\%_"})


def name_parameters(column: Column, asked: Filter) -> dict[str, Operator]:
    """The names that the filter goes by, in a query and in the file of rights."""
    low, high = column.range_names
    return {
        Filter.ANY: {column.name: Operator.EQUAL},
        Filter.RANGE: {low: Operator.AT_LEAST, high: Operator.AT_MOST},
        Filter.NULL: {f"{column.name}_null": Operator.IS_NULL},
        Filter.PREFIX: {f"{column.name}_prefix": Operator.LIKE},
        Filter.CONTAINS: {f"{column.name}_contains": Operator.CONTAINS},
    }[asked]


def restrict_column(column: Column, asked: Filter, operator: Operator, value: Any) -> Predicates:
    """The predicate of a checked value, or of a list of them where the filter takes several.

    Equal values give equal predicates, in whatever order they come.
    """
    if asked is Filter.NULL:
        return restrict(column.name, Operator.IS_NULL if value else Operator.IS_NOT_NULL)
    if asked is Filter.PREFIX:
        return restrict(column.name, operator, f"{value.translate(LIKE_MARKS)}%")
    if asked is Filter.CONTAINS and column.type.kind is Kind.ARRAY:
        return restrict(column.name, operator, spell_array(sorted(set(value))))
    if asked is Filter.ANY:
        first, *others = sorted(set(value))
        if others:
            return restrict(column.name, Operator.ANY_OF, (first, *others))
        return restrict(column.name, operator, first)
    return restrict(column.name, operator, value)
