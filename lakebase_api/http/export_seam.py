"""Filters and forms of exports until lists have them for every table: those of orders, and forms alone."""

from typing import Any

from marshmallow import Schema, ValidationError, fields

from lakebase_api.orders.filters import build_filter
from lakebase_api.orders.lists.schemas import FilterSchema, FormSchema
from lakebase_api.sql.predicates import EVERYTHING, Operator, Predicate, Predicates
from lakebase_api.table.declaration import Table


class OrdersQuerySchema(FilterSchema, FormSchema):
    """As lists of orders have it."""


class FieldsField(fields.String):
    """Names of columns."""

    def __init__(self, table: Table) -> None:
        super().__init__(data_key="fields", load_default=lambda: table.names)
        self._table = table

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        names = tuple(super()._deserialize(value, *args, **kwargs).split(","))
        if not set(names) <= set(self._table.names) or len(set(names)) < len(names):
            raise ValidationError(f"Must be some of {', '.join(self._table.names)}.")
        return names


def find_query_schema(table: Table) -> type[Schema]:
    """The filters and forms of a table."""
    if table.name == "orders":
        return OrdersQuerySchema
    return type("FormSchema", (FormSchema,), {"shown": FieldsField(table)})


def build_predicates(table: Table, query: dict[str, Any]) -> Predicates:
    """The filters of a query."""
    if table.name != "orders":
        return EVERYTHING
    found = build_filter(query)
    operators = {operator.value.replace("{values}", "{value}"): operator for operator in Operator}
    shape = tuple(Predicate(each.column, operators[each.statement]) for each in found.shape)
    return Predicates(shape, found.values)
