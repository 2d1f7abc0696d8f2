"""The operations that change rows of a declared table."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from lakebase_api.access.rights import Action
from lakebase_api.http import change_schemas as schemas
from lakebase_api.http import preconditions as headers
from lakebase_api.http.change_texts import ChangeTexts, path_of
from lakebase_api.http.changes import Changes
from lakebase_api.http.history import get_history
from lakebase_api.http.operation import ETAG, BuildDocument, Operation
from lakebase_api.table.declaration import Column

CHANGE_PROBLEMS = (400, 403, 404, 409, 412, 413, 415, 422, 428, 500, 503, 504)
HISTORY_PROBLEMS = (400, 404, 422, 500, 503, 504)
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` if this is the answer of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string"},
    }
}
MINIMAL = {204: {"description": "As 200, for `Prefer: return=minimal`."}}


def list_changes(changes: Changes) -> Iterator[Operation]:
    """Those on the columns that may change, if there are any."""
    texts, columns = changes.texts, changes.texts.table.changeable
    if not columns:
        return
    update = cache(partial(schemas.build_update, texts))
    changed = cache(partial(schemas.build_changed, texts))
    for column in columns:
        yield from _list_column(changes, column, partial(update, column), partial(changed, (column,)))
        yield _describe_batch(changes, column)
    patch = partial(update, *columns) if len(columns) == 1 else partial(schemas.build_patch, texts)
    yield Operation(
        "PATCH",
        "/{key}",
        texts.operations.patch,
        lambda body, key: changes.patch_one(key, body),
        texts.operations.describe_patch,
        needs=Action.CHANGE,
        body=lambda: patch()(),
        answer=partial(changed, columns),
        **_describe_change(texts),
    )
    yield Operation(
        "GET",
        "/{key}/history",
        texts.operations.history,
        partial(get_history, texts, changes.database),
        texts.operations.describe_history,
        needs=Action.HISTORY,
        query=schemas.HistoryQuerySchema,
        answer=partial(schemas.build_history, texts),
        problems=HISTORY_PROBLEMS,
    )


def _list_column(
    changes: Changes, column: Column, update: BuildDocument, changed: BuildDocument
) -> Iterator[Operation]:
    """To change a column of one row, and to withdraw that."""
    texts, path = changes.texts, path_of(column)
    columns, message = (column,), texts.updated([column])
    yield Operation(
        "POST",
        f"/{{key}}/{path}",
        texts.operations.update(column),
        lambda body, key: changes.change_one(key, body, columns, message),
        texts.operations.describe_update(column),
        needs=Action.CHANGE,
        body=lambda: update()(),
        answer=changed,
        **_describe_change(texts),
    )
    yield Operation(
        "DELETE",
        f"/{{key}}/{path}",
        texts.operations.withdraw(column),
        lambda key: changes.withdraw(key, column),
        texts.operations.describe_withdrawal(column),
        needs=Action.CHANGE,
        answer=changed,
        **_describe_change(texts),
    )


def _describe_batch(changes: Changes, column: Column) -> Operation:
    texts = changes.texts
    return Operation(
        "POST",
        f"/{path_of(column)}",
        texts.operations.update_many(column),
        lambda body, query: changes.change_many(column, body, query),
        texts.operations.describe_batch(column),
        needs=Action.CHANGE,
        body=lambda: schemas.build_batch_item(texts, column)(many=True),
        query=schemas.BatchQuerySchema,
        parameters=(headers.IDEMPOTENCY_KEY, headers.PREFER),
        answer=partial(schemas.build_batch, texts, column),
        headers=REPLAYED,
        others=MINIMAL,
        problems=CHANGE_PROBLEMS,
    )


def _describe_change(texts: ChangeTexts) -> dict[str, Any]:
    """What changes of one row have in common."""
    if_match = f"Change the {texts.row} only if this is its `ETag`, or one of these."
    return {
        "parameters": (
            {**headers.IF_MATCH, "description": if_match},
            headers.IDEMPOTENCY_KEY,
            headers.PREFER,
        ),
        "headers": ETAG | REPLAYED,
        "others": MINIMAL,
        "problems": CHANGE_PROBLEMS,
    }
