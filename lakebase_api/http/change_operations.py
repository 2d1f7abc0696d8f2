"""The HTTP operations that change rows of a declared table."""

from typing import Any

from marshmallow import Schema

from lakebase_api.http import change_schemas as schemas
from lakebase_api.http import preconditions as headers
from lakebase_api.http.change_texts import ChangeTexts, path_of
from lakebase_api.http.changes import Changes
from lakebase_api.http.documentation import ETAG, HEADERS, describe_operation
from lakebase_api.http.history import add_history
from lakebase_api.http.resource import Resource
from lakebase_api.http.validation import MERGE_PATCH
from lakebase_api.settings import Settings
from lakebase_api.sql.table_database import TableDatabase
from lakebase_api.table.declaration import Column

CHANGE_PROBLEMS = (400, 403, 404, 409, 412, 413, 415, 422, 428, 500, 503, 504)
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` if this is the answer of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string"},
    }
}
CHANGE_HEADERS = HEADERS | ETAG | REPLAYED
MINIMAL = "As 200, for `Prefer: return=minimal`."


def add_changes(resource: Resource, database: TableDatabase, settings: Settings) -> None:
    """Serve the operations on the columns that may change, if there are any."""
    if not resource.table.changeable:
        return
    changes = Changes(ChangeTexts(resource), database, settings)
    of_columns = [_add_column(resource, changes, column) for column in resource.table.changeable]
    if len(of_columns) == 1:
        _add_patch(resource, changes, *of_columns[0])
    else:
        columns = resource.table.changeable
        changed = schemas.build_changed(changes.texts, columns, changes.texts.schema("Changed"))
        _add_patch(resource, changes, schemas.build_patch(changes.texts), changed)
    add_history(resource, database, changes.texts)


def _add_column(resource: Resource, changes: Changes, column: Column) -> tuple[type[Schema], type[Schema]]:
    """Serve the operations on one column: to change it, of one row or of many, and to withdraw that.

    Gives the documents of a change and of its answer.
    """
    blueprint, texts, path = resource.blueprint, changes.texts, path_of(column)
    update = schemas.build_update(texts, column)
    changed = schemas.build_changed(texts, (column,), texts.schema_of(column, ""))
    parameters = _list_parameters(texts)
    columns, message = (column,), texts.updated([column])
    resource.add(
        "POST",
        f"/{{key}}/{path}",
        lambda body, key: changes.change_one(key, body, columns, message),
        texts.operations.update(column),
        texts.operations.describe_update(column),
        blueprint.arguments(update),
        blueprint.response(200, changed, headers=CHANGE_HEADERS),
        blueprint.alt_response(204, description=MINIMAL),
        blueprint.doc(
            **describe_operation(texts.operations.update(column), *CHANGE_PROBLEMS), parameters=parameters
        ),
    )
    resource.add(
        "DELETE",
        f"/{{key}}/{path}",
        lambda key: changes.withdraw(key, column),
        texts.operations.withdraw(column),
        texts.operations.describe_withdrawal(column),
        blueprint.response(200, changed, headers=CHANGE_HEADERS),
        blueprint.alt_response(204, description=MINIMAL),
        blueprint.doc(
            **describe_operation(texts.operations.withdraw(column), *CHANGE_PROBLEMS), parameters=parameters
        ),
    )
    _add_batch(resource, changes, column)
    return update, changed


def _list_parameters(texts: ChangeTexts) -> list[dict[str, Any]]:
    """What a change of one row takes beside its body."""
    described = f"Change the {texts.row} only if this is its `ETag`, or one of these."
    return [{**headers.IF_MATCH, "description": described}, headers.IDEMPOTENCY_KEY, headers.PREFER]


def _add_batch(resource: Resource, changes: Changes, column: Column) -> None:
    blueprint, texts = resource.blueprint, changes.texts
    item = schemas.build_batch_item(texts, column)
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": schemas.GREATEST_BATCH}
    resource.add(
        "POST",
        f"/{path_of(column)}",
        lambda body, query: changes.change_many(column, body, query),
        texts.operations.update_many(column),
        texts.operations.describe_batch(column),
        blueprint.arguments(item(many=True)),
        blueprint.arguments(schemas.BatchQuerySchema, location="query"),
        blueprint.response(200, schemas.build_batch(texts, column), headers=HEADERS | REPLAYED),
        blueprint.alt_response(204, description=MINIMAL),
        blueprint.doc(
            **describe_operation(texts.operations.update_many(column), *CHANGE_PROBLEMS),
            requestBody={"content": {"application/json": {"schema": items}}},
            parameters=[headers.IDEMPOTENCY_KEY, headers.PREFER],
        ),
    )


def _add_patch(resource: Resource, changes: Changes, body: type[Schema], changed: type[Schema]) -> None:
    blueprint, texts = resource.blueprint, changes.texts
    resource.add(
        "PATCH",
        "/{key}",
        lambda body, key: changes.patch_one(key, body),
        texts.operations.patch,
        texts.operations.describe_patch,
        blueprint.arguments(body, content_type=MERGE_PATCH),
        blueprint.response(200, changed, headers=CHANGE_HEADERS),
        blueprint.alt_response(204, description=MINIMAL),
        blueprint.doc(
            **describe_operation(texts.operations.patch, *CHANGE_PROBLEMS),
            parameters=_list_parameters(texts),
        ),
    )
