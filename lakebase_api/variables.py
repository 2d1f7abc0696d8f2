"""How one setting is declared: its environment names, how its text is read, its default and its meaning."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from marshmallow import fields, validate


@dataclass(frozen=True)
class Variable:
    """How one setting is read: the environment names in order of precedence, its field and its meaning."""

    names: tuple[str, ...]
    field: fields.Field[Any]
    help: str
    secret: bool = False
    shown_default: str | None = None


def setting(
    *names: str,
    help: str,
    field: fields.Field[Any] | None = None,
    default: object = None,
    secret: bool = False,
    shown_default: str | None = None,
) -> Any:
    """A dataclass field read from the first of the names that is set; text unless ``field`` says more."""
    variable = Variable(names, field or fields.String(), help, secret, shown_default)
    return dataclasses.field(default=default, repr=not secret, metadata={"variable": variable})


def number(low: float, high: float) -> fields.Field[Any]:
    """A number from ``low`` to ``high``."""
    return fields.Float(validate=validate.Range(low, high))


def whole(low: int, high: int) -> fields.Field[Any]:
    """An integer from ``low`` to ``high``."""
    return fields.Integer(validate=validate.Range(low, high))


def one_of(*choices: str) -> fields.Field[Any]:
    """One of the words."""
    return fields.String(validate=validate.OneOf(choices, error="Must be one of: {choices}."))
