"""The order key in a path."""

from typing import Any, NoReturn

from werkzeug.routing import BaseConverter

from lakebase_api.web import problem_types as kinds
from lakebase_api.web.paging import GREATEST_KEY, INTEGER
from lakebase_api.web.problems import Problem
from lakebase_api.web.validation import refuse

# What stands in a path where a key would: asked for in a way that it does not allow it is no key either.
SIBLINGS = ("count", "export", "pages", "sample", "status", "stream")


class OrderKeyConverter(BaseConverter):
    """An integer from 1 to 2**63 - 1.

    Not an integer or above is 422, 0 or below is 400.
    """

    regex = f"(?!(?:{'|'.join(SIBLINGS)})$)[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> int:
        """The key. Problems as the class says."""
        if not INTEGER.fullmatch(value):
            _refuse_key("Not a valid integer.")
        key = int(value)
        if key <= 0:
            raise Problem(kinds.MALFORMED, "order_key: Must be 1 or above.")
        if key > GREATEST_KEY:
            _refuse_key(f"Must be at most {GREATEST_KEY}.")
        return key


def describe_order_key(converter: OrderKeyConverter) -> dict[str, Any]:
    """The schema of a key, for the documentation."""
    return {"type": "integer", "format": "int64", "minimum": 1, "maximum": GREATEST_KEY, "example": 1}


def refuse_unknown(order_key: int) -> NoReturn:
    """Answer 404: there is no order of that key."""
    raise Problem(kinds.ORDER_NOT_FOUND, f"There is no order {order_key}.")


def _refuse_key(detail: str) -> NoReturn:
    refuse([{"in": "path", "name": "order_key", "detail": detail}])
