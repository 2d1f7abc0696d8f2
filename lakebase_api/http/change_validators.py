"""Whether a new value is one that its column holds as it is."""

import re

from marshmallow import ValidationError, validate

NOT_FINITE = ("NaN", "Infinity", "-Infinity")
MODIFIER = re.compile(r"\((?P<precision>\d+)(\s*,\s*(?P<scale>-?\d+))?\)")


class Among(validate.Validator):
    """That a text is one of those declared; the document has them as texts only for texts."""

    def __init__(self, values: tuple[str, ...]) -> None:
        self._values = values

    def __call__(self, text: str) -> str:
        if text not in self._values:
            raise ValidationError(f"Must be one of: {', '.join(self._values)}.")
        return text


class Whole(validate.Validator):
    """That a whole number is in the range of its type."""

    def __init__(self, bits: int) -> None:
        self._most = 2 ** (bits - 1) - 1

    def __call__(self, text: str) -> str:
        if not -self._most - 1 <= int(text) <= self._most:
            raise ValidationError(f"Must be between {-self._most - 1} and {self._most}.")
        return text


class Digits(validate.Validator):
    """That a `numeric` of that name holds a number as it is: PostgreSQL would round it."""

    def __init__(self, name: str) -> None:
        found = MODIFIER.search(name)
        self._precision = int(found["precision"]) if found else None
        self._scale = int(found["scale"] or 0) if found else 0

    def __call__(self, text: str) -> str:
        if self._precision is None or text == "NaN":
            return text
        whole, _, decimals = text.lstrip("-").partition(".")
        is_finite = text not in NOT_FINITE
        if (
            not is_finite
            or len(decimals.rstrip("0")) > self._scale
            or len(whole.lstrip("0")) > self._precision - self._scale
        ):
            raise ValidationError(
                f"Must have at most {self._precision - self._scale} digits before the point and "
                f"{self._scale} behind it."
            )
        return text
