"""How one setting is declared: its environment names, how its text is read, its default and its meaning."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, validate

# Of sizes: by how many bits they are shifted.
UNITS = {"": 0, "B": 0, "KB": 10, "MB": 20, "GB": 30}


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
    """One of the words, in upper or lower case."""
    spelled = {choice.casefold(): choice for choice in choices}

    def read(text: str) -> str:
        try:
            return spelled[text.casefold()]
        except KeyError:
            raise ValidationError(f"Must be one of: {', '.join(choices)}.") from None

    return read_by(read)


def matching(pattern: str, *, error: str) -> fields.Field[Any]:
    """A text of which all has the form of the regular expression."""
    return fields.String(validate=validate.Regexp(rf"(?:{pattern})\Z", error=error))


def read_by(read: Callable[[str], object]) -> fields.Field[Any]:
    """What the function makes of a text. It raises ``ValidationError``."""
    return fields.Function(deserialize=read)


def read_size(text: str) -> int:
    """A number of bytes, of kB, MB or GB, which are powers of 1024 as PostgreSQL has them."""
    match = re.fullmatch(r"([0-9]{1,9})\s*(|B|kB|MB|GB)", text.strip(), re.IGNORECASE)
    if not match:
        raise ValidationError("Must be a size such as 32MB, or 0.")
    return int(match[1]) << UNITS[match[2].upper()]


def several(read: Callable[[str], str]) -> fields.Field[Any]:
    """A list of what the function makes of each text between commas; blanks beside them do not count."""
    return read_by(lambda text: [read(part.strip()) for part in text.split(",")])


def joined(read: Callable[[str], str]) -> fields.Field[Any]:
    """As ``several``, but one text with commas again, for libraries that take it so."""
    return read_by(lambda text: ",".join(read(part.strip()) for part in text.split(",")))
