"""The documents of changes, made from the columns of a table that may change."""

from typing import Any

from marshmallow import Schema, fields, validate

from lakebase_api.access.caller import Method
from lakebase_api.http.change_fields import build_key_part, build_new_value, build_shown_value
from lakebase_api.http.change_texts import ChangeTexts
from lakebase_api.http.paging import GREATEST_KEY, QueryInteger, page_size_field
from lakebase_api.http.validation import GREATEST_LIST
from lakebase_api.table.declaration import Column, Table

GREATEST_BATCH = GREATEST_LIST
UNKNOWN_BEFORE = "`null` of a change by a release that did not keep it."
LABEL = {"description": f"What people call them. {UNKNOWN_BEFORE}", "example": "anonymous"}
METHOD = {
    "description": f"How it was established who they are. {UNKNOWN_BEFORE}",
    "enum": [*Method, None],
    "example": Method.ANONYMOUS,
}

Fields = dict[str, fields.Field[Any]]


class BatchQuerySchema(Schema):
    atomic = fields.Boolean(
        load_default=True,
        truthy={"true", "True"},
        falsy={"false", "False"},
        metadata={
            "description": "Whether none is changed when one cannot be; `false` changes those that can."
        },
    )


class HistoryQuerySchema(Schema):
    cursor = QueryInteger(
        # Not told, as no cursor's is: a generated client would send it, and one in JavaScript rounded up.
        load_default=lambda: GREATEST_KEY,
        validate=validate.Range(1, GREATEST_KEY, error="Must be between {min} and {max}."),
        metadata={
            "description": "Version to start before: the `next_cursor` of an earlier answer.",
            "format": "int64",
        },
    )
    page_size = page_size_field()


def build_update(texts: ChangeTexts, column: Column) -> type[Schema]:
    """The body that changes one column."""
    description = f"The new {texts.label(column)}"
    described = f"{description}: {column.description}" if column.description else f"{description}."
    field = build_new_value(column, described, takes_null=texts.takes_null(column), required=True)
    return _build(texts.schema_of(column, "Update"), {column.name: field})


def build_patch(texts: ChangeTexts) -> type[Schema]:
    """The merge patch of any of the columns."""
    columns = texts.table.changeable
    return _build(
        texts.schema("Patch"),
        {
            column.name: build_new_value(
                column, column.description or "The new value.", takes_null=texts.takes_null(column)
            )
            for column in columns
        },
    )


def build_changed(texts: ChangeTexts, columns: tuple[Column, ...]) -> type[Schema]:
    """The answer to a change of one column, or of any of several."""
    is_one = len(columns) == 1
    name = texts.schema_of(columns[0], "") if is_one else texts.schema("Changed")
    shown = {
        column.name: build_shown_value(column, allow_none=texts.takes_null(column)) for column in columns
    }
    for field in shown.values():
        field.required = is_one
    message = fields.String(required=True, metadata={"example": texts.updated(columns[:1])})
    return _build(name, {**_key_fields(texts.table), **shown, texts.beside("message"): message})


def build_batch_item(texts: ChangeTexts, column: Column) -> type[Schema]:
    """One of many changes of a column."""
    etag = fields.String(
        validate=validate.Regexp(r"^[!#-~]*$", error="Must be an ETag, without its quotes."),
        metadata={
            "description": f"Change the {texts.row} only if this is its `ETag`, without quotes. `*` is any."
        },
    )
    return _build(
        texts.schema_of(column, "BatchItem"),
        {
            **_key_fields(texts.table, is_checked=True),
            column.name: build_new_value(
                column,
                f"The new {texts.label(column)}.",
                takes_null=texts.takes_null(column),
                required=True,
            ),
            texts.beside("if_match"): etag,
        },
    )


def build_batch(texts: ChangeTexts, column: Column) -> type[Schema]:
    """The answer to many changes of a column."""
    result = _build(texts.schema_of(column, "BatchResult"), _result_fields(texts, column))
    return _build(
        texts.schema_of(column, "Batch"),
        {
            "changed": fields.Integer(required=True, metadata={"example": 1}),
            "unchanged": fields.Integer(required=True, metadata={"example": 0}),
            "refused": fields.Integer(required=True, metadata={"example": 0}),
            "results": fields.List(fields.Nested(result), required=True),
        },
    )


def build_history(texts: ChangeTexts) -> type[Schema]:
    """The history of a row."""
    change = _build(texts.schema("Change"), _version_fields(texts))
    pagination = _build(texts.schema("HistoryPagination"), _pagination_fields())
    return _build(
        texts.schema("History"),
        {
            **_key_fields(texts.table),
            **_state_fields(texts),
            texts.beside("changes"): fields.List(fields.Nested(change), required=True),
            texts.beside("pagination"): fields.Nested(pagination, required=True),
        },
    )


def _build(name: str, members: Fields) -> type[Schema]:
    return Schema.from_dict(members, name=f"{name}Schema")


def _key_fields(table: Table, *, is_checked: bool = False) -> Fields:
    return {column.name: build_key_part(column, is_checked=is_checked) for column in table.key}


def _result_fields(texts: ChangeTexts, column: Column) -> Fields:
    one, label = texts.row, texts.label(column)
    return {
        **_key_fields(texts.table),
        column.name: build_shown_value(column, f"The {label} the {one} has now."),
        texts.beside("etag"): fields.String(
            required=True, allow_none=True, metadata={"description": "The ETag it has now."}
        ),
        texts.beside("status"): fields.Integer(
            required=True,
            metadata={"description": f"What a change of this {one} alone answers.", "example": 200},
        ),
        texts.beside("type"): fields.String(
            metadata={"description": "The kind of problem.", "example": texts.not_found.path}
        ),
        texts.beside("detail"): fields.String(
            metadata={"description": "Why it was refused.", "example": texts.unknown(["9"])}
        ),
    }


def _version_fields(texts: ChangeTexts) -> Fields:
    one, short = texts.row, texts.short_form
    version = {"description": f"Counted from 1 for each {one}.", "format": "int64", "example": 1}
    synced = f"What the {texts.table.name} table had; `null` where it is changed itself."
    if short:
        values: Fields = {
            f"old_{short.path}": build_shown_value(short.column, shows_old=True),
            f"new_{short.path}": build_shown_value(short.column),
            f"synced_{short.path}": build_shown_value(short.column, synced, shows_old=True),
        }
    else:
        names = [column.name for column in texts.table.changeable]
        values = {
            "column": fields.String(required=True, metadata={"enum": names, "example": names[0]}),
            "old": fields.Raw(required=True, allow_none=True),
            "new": fields.Raw(required=True, allow_none=True),
            "synced": fields.Raw(required=True, allow_none=True, metadata={"description": synced}),
        }
    return {
        "version": fields.Integer(required=True, metadata=version),
        **values,
        "is_withdrawal": fields.Boolean(required=True, metadata={"example": False}),
        "changed_at": fields.DateTime(required=True, metadata={"example": "2026-11-22T10:00:00.123456Z"}),
        "changed_by": fields.String(required=True, metadata={"example": "anonymous"}),
        "request_id": fields.String(required=True),
        "changed_by_label": fields.String(required=True, allow_none=True, metadata=LABEL),
        "changed_by_method": fields.String(required=True, allow_none=True, metadata=METHOD),
    }


def _state_fields(texts: ChangeTexts) -> Fields:
    """The columns as they are shown, and as the table has them."""
    short, table = texts.short_form, texts.table
    conflict = (
        f"Whether the {table.name} table has come to say something that is neither what the "
        "{} was changed from nor what it was changed to. The change stays until it is withdrawn."
    )
    synced = f"As the {table.name} table has it."
    if short:
        column = short.column
        return {
            column.name: build_shown_value(column, "As it is shown."),
            f"synced_{short.path}": build_shown_value(column, synced, shows_old=True),
            f"{short.path}_conflict": fields.Boolean(
                required=True, metadata={"description": conflict.format(short.path)}
            ),
        }
    states: Fields = {
        column.name: fields.Nested(
            _build(
                texts.schema_of(column, "State"),
                {
                    "value": build_shown_value(column, "As it is shown."),
                    "synced": build_shown_value(column, synced),
                    "conflict": fields.Boolean(
                        required=True, metadata={"description": conflict.format("column")}
                    ),
                },
            ),
            required=True,
        )
        for column in table.changeable
    }
    return {
        texts.beside("columns"): fields.Nested(_build(texts.schema("HistoryColumns"), states), required=True)
    }


def _pagination_fields() -> Fields:
    return {
        "page_size": fields.Integer(required=True, metadata={"example": 100}),
        "has_next": fields.Boolean(required=True),
        "next_cursor": fields.Integer(
            required=True,
            allow_none=True,
            metadata={"description": "Cursor of the older changes.", "format": "int64", "example": None},
        ),
    }
