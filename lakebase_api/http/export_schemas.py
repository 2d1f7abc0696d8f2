"""What an export takes in, beside the filters and forms of lists."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from lakebase_api.http.csv_ndjson import CSV, NDJSON
from lakebase_api.http.fields import build_form_fields
from lakebase_api.http.filters import Fields, build_boolean, build_filter_fields
from lakebase_api.http.paging import GREATEST_KEY, LEAST_KEY, QueryInteger
from lakebase_api.table.declaration import Table
from lakebase_api.table.key_text import parse_cursor, spell_cursor
from lakebase_api.table.types import Kind

FORMATS = {"csv": CSV, "ndjson": NDJSON}
EXAMPLE_KEY = 388
HEADER = "In CSV, whether the first line has the names of the fields. If absent it does without `cursor`."
TRAILER = (
    "In NDJSON, whether a last line says where to go on. Without it every line is {one}, and one goes on as "
    "in CSV."
)
PARTS = " Its parts are {names}, joined by `/`; in one that is a text `/` is `~2F`."
TILDE = " In a text `~` is `~7E`."


class KeyCursor(fields.String):
    """A key of a table, as a text."""

    def __init__(self, table: Table, **options: Any) -> None:
        super().__init__(**options)
        self._table = table

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return parse_cursor(self._table, super()._deserialize(value, *args, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class WithKeySchema(Schema):
    """Refuses fields that do not say where to go on."""

    key_names: ClassVar[tuple[str, ...]]

    @validates_schema
    def check_fields(self, query: Mapping[str, Any], **_: object) -> None:
        """That each row has its key."""
        shown = query.get("shown", self.key_names)
        if missing := [name for name in self.key_names if name not in shown]:
            detail = f"Must have {', '.join(missing)}: an export that was cut goes on from it."
            raise ValidationError(detail, "fields")


def build_export_schema(table: Table) -> Schema:
    """The query of an export of a table: the filters and forms of lists, and its own."""
    own: Fields = {
        "format": fields.String(
            validate=validate.OneOf(FORMATS, error="Must be one of: {choices}."),
            metadata={
                "description": "If absent, what `Accept` prefers, and `csv` without it.",
                "example": "csv",
            },
        ),
        "cursor": _build_cursor(table),
        "header": build_boolean({"description": HEADER}),
        "trailer": build_boolean(
            {"description": TRAILER.format(one=add_article(table.one.replace("_", " ")))}, load_default=True
        ),
    }
    parameters = {**build_form_fields(table), **build_filter_fields(table), **own}
    base: type[Schema] = type("KeySchema", (WithKeySchema,), {"key_names": table.key_names})
    return base.from_dict(parameters, name="ExportQuerySchema")()


def add_article(one: str) -> str:
    """What a row is called, with the article of its first letter."""
    return f"{'an' if one[0] in 'aeiou' else 'a'} {one}"


def _build_cursor(table: Table) -> fields.Field[Any]:
    description = (
        "The key to start after: that of the last whole row there is, to go on. "
        f"The first {table.one} is the first if absent."
    )
    if table.has_integer_key:
        return QueryInteger(
            validate=validate.Range(LEAST_KEY, GREATEST_KEY, error="Must be between {min} and {max}."),
            metadata={"description": description, "format": "int64", "example": EXAMPLE_KEY},
        )
    if len(table.key) > 1:
        description += PARTS.format(names=", ".join(f"`{name}`" for name in table.key_names))
    if any(column.type.kind is Kind.TEXT for column in table.key):
        description += TILDE
    examples = [column.example for column in table.key]
    known = {} if None in examples else {"example": spell_cursor(table, tuple(map(str, examples)))}
    return KeyCursor(table, metadata={"description": description, **known})
