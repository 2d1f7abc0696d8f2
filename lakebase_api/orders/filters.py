"""Which orders a request asks for."""

from collections.abc import Mapping

from lakebase_api.orders.conditions import ANY_OF, AT_LEAST, AT_MOST, EQUAL, Conditions, restrict
from lakebase_api.orders.order import STATUS

# By the name of the query parameter: the column, and the condition on it.
FILTERS = {
    "o_custkey": ("o_custkey", EQUAL),
    "o_orderstatus": (STATUS, EQUAL),
    "o_orderpriority": ("o_orderpriority", EQUAL),
    "o_clerk": ("o_clerk", EQUAL),
    "o_orderdate_from": ("o_orderdate", AT_LEAST),
    "o_orderdate_to": ("o_orderdate", AT_MOST),
    "o_totalprice_min": ("o_totalprice", AT_LEAST),
    "o_totalprice_max": ("o_totalprice", AT_MOST),
}
FILTERED_COLUMNS = tuple(dict.fromkeys(column for column, _ in FILTERS.values()))

EVERYTHING = Conditions()


def build_filter(query: Mapping[str, object]) -> Conditions:
    """The filter of a checked query, in which a list is of alternatives; what is no filter is left aside.

    Equal filters give equal conditions, in whatever order their values are asked for.
    """
    found = EVERYTHING
    for name, (column, statement) in FILTERS.items():
        if name in query:
            found += _restrict(column, statement, query[name])
    return found


def _restrict(column: str, statement: str, value: object) -> Conditions:
    if not isinstance(value, list):
        return restrict(column, statement, value)
    first, *others = sorted(set(value))
    return restrict(column, ANY_OF, (first, *others)) if others else restrict(column, statement, first)
