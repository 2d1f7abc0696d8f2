"""What reads of a table take in, and the documents that they give out, derived from its declaration."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from lakebase_api.http.fields import (
    build_form_fields,
    build_keys_field,
    build_pages_fields,
    build_shown_fields,
    build_stream_fields,
)
from lakebase_api.http.filters import Fields, build_filter_fields
from lakebase_api.http.links import build_link_fields
from lakebase_api.http.paging import PagesPaginationSchema, StreamPaginationSchema, great_integers_field
from lakebase_api.http.resource import FIRST, Resource
from lakebase_api.http.types import describe_column
from lakebase_api.sql.counting import Accuracy
from lakebase_api.table.declaration import Table

SAMPLE_OF_INTEGERS = [1827, 96451, 232067, 380130, 511106]


class RowSchema(Schema):
    """All of its fields, or those that `fields` asks for."""


class ReadSchemas:
    """The schemas of one table. Immutable."""

    def __init__(self, resource: Resource) -> None:
        table = resource.table
        own = {column.name: fields.Raw(metadata=describe_column(column)) for column in table.columns}
        self.row = _build(resource.name_row(), own, RowSchema)
        rows = {table.name: fields.List(fields.Nested(self.row), required=True)}
        links = _build(resource.name_schema("Links"), build_link_fields(table))
        self.pages = _build(
            "Pages" if table.name == FIRST else resource.name_schema("Page"),
            rows | _describe_place(PagesPaginationSchema, links),
        )
        self.stream = _build(
            resource.name_schema("Stream"), rows | _describe_place(StreamPaginationSchema, links)
        )
        self.keys = _build(resource.name_schema("Keys"), {**rows, "missing": _describe_missing(table)})
        self.count = _build(resource.name_schema("Count"), _describe_count(table))
        self.sample = _build(resource.name_schema("Sample"), _describe_sample(table))


class QuerySchemas:
    """The query parameters of one table's reads. Immutable."""

    def __init__(self, table: Table) -> None:
        form = build_form_fields(table)
        self.row = build_query(build_shown_fields(table))
        self.keys = build_query({"keys": build_keys_field(table), **form})
        self.pages = build_query(build_filter_fields(table) | form | build_pages_fields(table))
        self.stream = build_query(build_filter_fields(table) | form | build_stream_fields(table))
        self.count = build_query(build_filter_fields(table) | {"accuracy": _describe_accuracy()})
        self.sample = build_query(build_filter_fields(table) | {"great_integers": great_integers_field()})


def build_query(parameters: Fields) -> Schema:
    """A schema of query parameters."""
    return Schema.from_dict(dict(parameters), name="QuerySchema")()


def _build(name: str, content: Mapping[str, fields.Field[Any]], base: type[Schema] = Schema) -> type[Schema]:
    return base.from_dict(dict(content), name=f"{name}Schema")


def _describe_place(pagination: type[Schema], links: type[Schema]) -> Fields:
    return {
        "pagination": fields.Nested(pagination, required=True),
        "links": fields.Nested(links, required=True),
    }


def _describe_missing(table: Table) -> fields.Field[Any]:
    is_integer = table.has_integer_key
    described: dict[str, Any] = {"description": f"Keys of which there is no {table.one.replace('_', ' ')}."}
    if is_integer:
        described["example"] = [8]
    types = ["integer", "string"] if is_integer else "string"
    return fields.List(fields.Raw(metadata={"type": types}), required=True, metadata=described)


def _describe_accuracy() -> fields.Field[Any]:
    return fields.Enum(
        Accuracy,
        by_value=fields.String,
        metadata={"description": "`exact` waits for an exact count, `estimated` never counts."},
    )


def _describe_count(table: Table) -> Fields:
    return {
        f"total_{table.name}": fields.Integer(required=True, metadata={"example": 1500000}),
        "accuracy": fields.String(required=True, metadata={"enum": list(Accuracy), "example": "exact"}),
        "as_of": fields.DateTime(
            required=True,
            metadata={"description": "When it was counted.", "example": "2026-11-22T10:00:00.123456+00:00"},
        ),
    }


def _describe_sample(table: Table) -> Fields:
    name = f"sample_{table.one}_keys"
    if table.has_integer_key:
        item = fields.Integer(metadata={"type": ["integer", "string"], "format": "int64"})
        return {name: fields.List(item, required=True, metadata={"example": SAMPLE_OF_INTEGERS})}
    described = {"description": "As the parameter `keys` takes them."}
    return {name: fields.List(fields.String(), required=True, metadata=described)}
