"""What lists of orders take in: filters, order, fields, and where in the list to begin."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from lakebase_api.orders.lists.sorting import BY_KEY, MOST_COLUMNS, parse_sort
from lakebase_api.orders.order import COLUMNS, KEY, STATUSES
from lakebase_api.web.paging import (
    GREAT_INTEGERS_MEANING,
    GREATEST_KEY,
    GREATEST_PAGE,
    INTEGER,
    LEAST_KEY,
    QueryInteger,
    great_integers_field,
    page_size_field,
)

GREATEST_ALTERNATIVES = 50
GREATEST_TEXT = 100
GREATEST_KEYS = 200

# For the documentation, as ECMA-262 has them; that none may come twice they do not say.
ANY_COLUMN = f"({'|'.join(COLUMNS)})"
SORT_PATTERN = f"^-?{ANY_COLUMN}(,-?{ANY_COLUMN}){{0,{MOST_COLUMNS - 1}}}$"
FIELDS_PATTERN = f"^{ANY_COLUMN}(,{ANY_COLUMN})*$"
CURSOR_PATTERN = "^(-?[0-9]{1,19}|c[A-Za-z0-9_-]+)$"
KEYS_PATTERN = f"^-?0*[0-9]{{1,19}}(,-?0*[0-9]{{1,19}}){{0,{GREATEST_KEYS - 1}}}$"


class SortField(fields.String):
    """Columns to sort by."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return parse_sort(super()._deserialize(value, *args, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class FieldsField(fields.String):
    """Names of fields to show, each once."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        names = tuple(super()._deserialize(value, *args, **kwargs).split(","))
        if unknown := [name for name in names if name not in COLUMNS]:
            raise ValidationError(f"Has no field {unknown[0]!r}. There are {', '.join(COLUMNS)}.")
        if len(set(names)) < len(names):
            raise ValidationError("Names a field twice.")
        return names


class CursorField(fields.Raw):
    """A key, or a token of an earlier answer."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if not INTEGER.fullmatch(text):
            return text
        if not LEAST_KEY <= int(text) <= GREATEST_KEY:
            raise ValidationError(f"Must be between {LEAST_KEY} and {GREATEST_KEY}.")
        return int(text)


class KeysField(fields.String):
    """Keys, each once."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        parts = super()._deserialize(value, *args, **kwargs).split(",")
        if len(parts) > GREATEST_KEYS:
            raise ValidationError(f"Must be at most {GREATEST_KEYS} keys.")
        if not all(INTEGER.fullmatch(part) and LEAST_KEY <= int(part) <= GREATEST_KEY for part in parts):
            detail = f"Must be integers between {LEAST_KEY} and {GREATEST_KEY}, separated by commas."
            raise ValidationError(detail)
        return list(dict.fromkeys(map(int, parts)))


def shown_field() -> FieldsField:
    """Which fields to show."""
    return FieldsField(
        data_key="fields",
        # Not told: a generated client would send it with each request.
        load_default=lambda: COLUMNS,
        metadata={
            "description": "Fields to show, in this order, each once, separated by commas; all if absent.",
            "pattern": FIELDS_PATTERN,
            "example": "o_orderkey,o_totalprice",
        },
    )


def _several(field: fields.Field[Any], description: str) -> fields.List[Any]:
    return fields.List(
        field,
        validate=validate.Length(1, GREATEST_ALTERNATIVES, error="Must be at most {max} values."),
        metadata={"description": f"{description} Given several times: any of them."},
    )


def _text(example: str) -> fields.String:
    return fields.String(
        validate=[
            validate.Length(1, GREATEST_TEXT, error="Must have {min} to {max} characters."),
            validate.Regexp(r"[^\x00-\x1f]*\Z", error="Must not have control characters."),
        ],
        metadata={"pattern": r"^[^\u0000-\u001f]*$", "example": example},
    )


class StrictDate(fields.Date):
    """A date written as 1996-01-02 and in no other way of ISO 8601."""

    FORM = validate.Regexp(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", error="Must be a date such as 1996-01-02.")

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(self.FORM(value), *args, **kwargs)


def _date(description: str, example: str) -> StrictDate:
    return StrictDate(metadata={"description": description, "example": example})


class Price(fields.Decimal):
    """An amount in plain digits."""

    FORM = validate.Regexp(
        r"-?[0-9]{1,16}(\.[0-9]{1,4})?\Z", error="Must be a number such as 173665.47, with 16 digits at most."
    )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(self.FORM(value), *args, **kwargs)


def _price(description: str, example: str) -> Price:
    # As text: a client that has it as a binary float may write an exponent, or other digits.
    as_text = {"type": "string", "pattern": r"^-?[0-9]{1,16}(\.[0-9]{1,4})?$"}
    return Price(metadata={"description": description, **as_text, "example": example})


class FilterSchema(Schema):
    """The filters that every list takes. All given ones hold."""

    o_custkey = _several(
        QueryInteger(
            validate=validate.Range(0, GREATEST_KEY, error="Must be between {min} and {max}."),
            metadata={"format": "int64", "example": 36901},
        ),
        "Orders of this customer.",
    )
    o_orderstatus = _several(
        fields.String(
            validate=validate.OneOf(STATUSES, error="Must be one of: {choices}."), metadata={"example": "O"}
        ),
        "Orders of this status, as changed.",
    )
    o_orderpriority = _several(_text("5-LOW"), "Orders of this priority.")
    o_clerk = _several(_text("Clerk#000000951"), "Orders of this clerk.")
    o_orderdate_from = _date("Orders of this day or later.", "1996-01-01")
    o_orderdate_to = _date("Orders of this day or earlier.", "1996-01-31")
    o_totalprice_min = _price("Orders of this price or more.", "100000")
    o_totalprice_max = _price("Orders of this price or less.", "173665.47")


class SortSchema(Schema):
    """The order of a list."""

    sort = SortField(
        load_default=BY_KEY,
        metadata={
            "description": f"Up to {MOST_COLUMNS} columns to sort by beside the key, each once, with a `-` "
            "before it to descend. NULL is greater than every value. The key decides between equals; the "
            "order is that of the keys if absent.",
            "pattern": SORT_PATTERN,
            "default": KEY,
            "example": "-o_totalprice,o_orderkey",
        },
    )


class FormSchema(Schema):
    """What the rows of a list are to look like."""

    shown = shown_field()
    great_integers = great_integers_field()
    quote_formulas = fields.Boolean(
        load_default=False,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={
            "description": "In CSV, whether text that a spreadsheet would run as a formula gets a `'` before."
        },
    )
    bom = fields.Boolean(
        load_default=False,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={
            "description": "In CSV, whether it begins with a byte order mark, by which Excel knows UTF-8."
        },
    )


class PagesQuerySchema(FilterSchema, SortSchema, FormSchema):
    page = QueryInteger(
        load_default=1,
        validate=validate.Range(1, GREATEST_PAGE, error="Must be between {min} and {max}."),
        metadata={"description": "Number of the page, counted from 1."},
    )
    page_size = page_size_field()
    include_count = fields.Boolean(
        load_default=True,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={"description": "Whether to count the orders; `false` is faster on large tables."},
    )


class StreamQuerySchema(FilterSchema, SortSchema, FormSchema):
    cursor = CursorField(
        # Not told: a generated client would send it with each request.
        load_default=lambda: None,
        metadata={
            "description": "Where to begin: a cursor of an earlier answer with these filters and this sort; "
            "at the start if absent. In the order of the keys it is the key to start after.",
            # Text, though it may be a key: few generators can write a parameter that has one of two types.
            "type": "string",
            "pattern": CURSOR_PATTERN,
            "example": "388",
        },
    )
    page_size = page_size_field()


class KeysQuerySchema(FormSchema):
    keys = KeysField(
        required=True,
        metadata={
            "description": f"Up to {GREATEST_KEYS} keys, separated by commas; one given twice counts once.",
            "pattern": KEYS_PATTERN,
            "example": "1,7,32",
        },
    )


class OrderQuerySchema(Schema):
    shown = shown_field()
    great_integers = great_integers_field()


class SampleQuerySchema(FilterSchema):
    great_integers = great_integers_field()


# As a parameter of an operation that takes few others.
FIELDS = {
    "in": "query",
    "name": "fields",
    "description": "Fields to show, in this order, each once, separated by commas; all if absent.",
    "schema": {"type": "string", "pattern": FIELDS_PATTERN},
    "example": "o_orderkey,o_totalprice",
}
GREAT_INTEGERS = {
    "in": "query",
    "name": "great_integers",
    "description": GREAT_INTEGERS_MEANING,
    "schema": {"type": "string", "enum": ["number", "text"]},
    "example": "number",
}
