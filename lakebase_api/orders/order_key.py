"""The order key in a path."""

from typing import Any, NoReturn

from werkzeug.routing import BaseConverter

from lakebase_api.web import problem_types as kinds
from lakebase_api.web.paging import GREATEST_KEY, INTEGER, LEAST_KEY
from lakebase_api.web.problems import Problem
from lakebase_api.web.validation import refuse

# What stands in a path where a key would: asked for in a way that it does not allow it is no key either.
SIBLINGS = ("count", "export", "pages", "sample", "status", "stream")


class OrderKeyConverter(BaseConverter):
    """A bigint. Anything else is 422."""

    regex = f"(?!(?:{'|'.join(SIBLINGS)})$)[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> int:
        """The key. Problems: it is none."""
        if not INTEGER.fullmatch(value):
            _refuse_key("Not a valid integer.")
        key = int(value)
        if not LEAST_KEY <= key <= GREATEST_KEY:
            _refuse_key(f"Must be between {LEAST_KEY} and {GREATEST_KEY}.")
        return key


def describe_order_key(converter: OrderKeyConverter) -> dict[str, Any]:
    """The schema of a key, for the documentation."""
    return {"type": "integer", "format": "int64", "minimum": LEAST_KEY, "maximum": GREATEST_KEY, "example": 1}


def refuse_unknown(order_key: int) -> NoReturn:
    """Answer 404: there is no order of that key."""
    raise Problem(kinds.ORDER_NOT_FOUND, f"There is no order {order_key}.")


def _refuse_key(detail: str) -> NoReturn:
    refuse([{"in": "path", "name": "order_key", "detail": detail}])
