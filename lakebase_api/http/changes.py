"""Changes of rows by HTTP: what a request asks for is read here, and what became of it is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from flask import Response, request

from lakebase_api.http import change_schemas as schemas
from lakebase_api.http import preconditions as headers
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.change_texts import ChangeTexts
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.key import Key
from lakebase_api.http.problems import Problem
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.validation import WHOLE_BODY, refuse, refuse_query
from lakebase_api.http.value_texts import render_text
from lakebase_api.settings import Settings
from lakebase_api.sql.change import change_rows
from lakebase_api.sql.change_request import (
    ChangeRequest,
    ChangeResult,
    IdempotencyState,
    Item,
    ItemResult,
    Outcome,
    Overtaken,
    ValueNotTaken,
)
from lakebase_api.sql.table_database import TableDatabase
from lakebase_api.table.declaration import Column, Writes

# The database does not take it, though the declaration does.
NOT_TAKEN = "The table does not take the value."


@dataclass(frozen=True)
class Changes:
    """Changes rows of one table, for the current request. Safe to share between threads."""

    texts: ChangeTexts
    database: TableDatabase
    settings: Settings

    def change_one(
        self, key: Key, body: dict[str, str | None], columns: tuple[Column, ...], message: str
    ) -> Response:
        """Change these columns, and answer with what they are. Problems: the change is refused."""
        refuse_query()
        return self._answer_one(key, columns, tuple([body[column.name] for column in columns]), message)

    def patch_one(self, key: Key, body: dict[str, str | None]) -> Response:
        """Change the columns that the body has. Problems: as of a change, and there are none."""
        columns = self._find_columns(body)
        return self.change_one(key, body, columns, self.texts.updated(columns))

    def withdraw(self, key: Key, column: Column) -> Response:
        """Withdraw the change of a column. Problems: as of a change, and there is nothing to show instead."""
        refuse_query()
        if self.texts.table.writes is Writes.DIRECT:
            raise Problem(kinds.NOT_WITHDRAWABLE, self.texts.not_withdrawable(column))
        return self._answer_one(key, (column,), (), self.texts.withdrawn([column]))

    def change_many(self, column: Column, body: list[dict[str, Any]], query: dict[str, bool]) -> Response:
        """Change a column of many rows. Problems: one is refused, and all or none are to be changed."""
        items = self._read_items(column, body)
        conditions = headers.read_conditions()
        result = self._change(items, (column,), body, conditions, is_atomic=query["atomic"])
        refused = [(place, item) for place, item in enumerate(result.items) if self.texts.refusal(item)]
        if refused and query["atomic"]:
            self._refuse_all(refused)
        outcomes = [item.outcome for item in result.items]
        answer = {
            "changed": outcomes.count(Outcome.CHANGED),
            "unchanged": outcomes.count(Outcome.UNCHANGED),
            "refused": len(refused),
            "results": [self._describe_result(item) for item in result.items],
        }
        return _answer(answer, result, conditions)

    def _answer_one(
        self, key: Key, columns: tuple[Column, ...], values: tuple[str | None, ...], message: str
    ) -> Response:
        conditions = headers.read_conditions()
        items = [Item(key, values, conditions.if_match)]
        result = self._change(items, columns, values, conditions, is_withdrawal=not values)
        [item] = result.items
        if kind := self.texts.refusal(item):
            is_weak = item.outcome is Outcome.STALE and conditions.has_weak_etag
            detail = f"{self.texts.explain(item)}{headers.WEAK_ETAG if is_weak else ''}"
            raise Problem(kind, detail, etag=item.etag)
        return _answer({**self._show(item), self.texts.beside("message"): message}, result, conditions)

    def _change(
        self,
        items: Sequence[Item],
        columns: tuple[Column, ...],
        body: object,
        conditions: headers.Conditions,
        *,
        is_withdrawal: bool = False,
        is_atomic: bool = True,
    ) -> ChangeResult:
        """Problems: writes are off; its key is in use; others always were faster; a value is not taken."""
        if self.texts.table.writes is Writes.OFF:
            raise Problem(kinds.STATUS_WRITES_OFF, self.texts.off)
        key, names = conditions.idempotency_key, tuple([column.name for column in columns])
        caller = current_exchange().caller
        asked = ChangeRequest(
            columns=names,
            items=items,
            caller=caller.subject,
            request_id=current_exchange().request_id,
            is_withdrawal=is_withdrawal,
            requires_match=self.settings.require_if_match,
            is_atomic=is_atomic,
            idempotency_key=key,
            fingerprint=_fingerprint(names, body) if key else "",
            within=current_exchange().within,
            caller_label=caller.label,
            caller_method=caller.method,
        )
        try:
            result = change_rows(self.database, asked)
        except Overtaken:
            raise Problem(kinds.CONFLICT, kinds.CONFLICT.meaning) from None
        except ValueNotTaken:
            refuse([{"in": "body", "name": WHOLE_BODY, "detail": NOT_TAKEN}])
        if result.state is IdempotencyState.STILL_RUNNING:
            raise Problem(kinds.STILL_RUNNING, kinds.STILL_RUNNING.meaning)
        if result.state is IdempotencyState.OTHER_BODY:
            raise Problem(kinds.KEY_REUSED, kinds.KEY_REUSED.meaning)
        return result

    def _find_columns(self, body: dict[str, str | None]) -> tuple[Column, ...]:
        """The columns that a body changes, in one order of all. Problems: there are none."""
        columns = tuple(column for column in self.texts.table.changeable if column.name in body)
        if not columns:
            names = ", ".join(column.name for column in self.texts.table.changeable)
            detail = f"Must have one of {names}, or several."
            refuse([{"in": "body", "name": WHOLE_BODY, "detail": detail}])
        return columns

    def _read_items(self, column: Column, body: list[dict[str, Any]]) -> list[Item]:
        """The items of a batch. Problems: there are none, or a row is there twice."""
        if not body:
            detail = f"Must have 1 to {schemas.GREATEST_BATCH} items."
            refuse([{"in": "body", "name": WHOLE_BODY, "detail": detail}])
        names = self.texts.table.key_names
        keys = [tuple(item[name] for name in names) for item in body]
        places: dict[Key, int] = {}
        twice = [
            {"in": "body", "name": f"{place}.{names[0]}", "detail": f"Is that of item {first} too."}
            for place, key in enumerate(keys)
            if (first := places.setdefault(key, place)) != place
        ]
        if twice:
            refuse(twice)
        if_match = self.texts.beside("if_match")
        return [
            Item(key, (item[column.name],), [item[if_match]] if if_match in item else None)
            for key, item in zip(keys, body, strict=True)
        ]

    def _refuse_all(self, refused: list[tuple[int, ItemResult]]) -> None:
        explained = [(str(place), self.texts.explain(item)) for place, item in refused]
        invalid = [{"in": "body", "name": name, "detail": detail} for name, detail in explained]
        if kind := self.texts.refusal(refused[0][1]):
            raise Problem(kind, explained[0][1], invalid=invalid)

    def _describe_result(self, item: ItemResult) -> dict[str, Any]:
        own: dict[str, Any] = {"etag": item.etag, "status": 200}
        if kind := self.texts.refusal(item):
            own |= {"status": kind.status, "type": kind.path, "detail": self.texts.explain(item)}
        return {**self._show(item), **{self.texts.beside(name): value for name, value in own.items()}}

    def _show(self, item: ItemResult) -> dict[str, Any]:
        """The key and the columns, as JSON has them."""
        table = self.texts.table
        shown = {}
        for column, text in zip(table.key, item.key, strict=True):
            shown[column.name] = render_text(column, text)
        for column in table.changeable:
            if column.name in item.values:
                shown[column.name] = render_text(column, item.values[column.name])
        return shown


def _answer(body: dict[str, Any], result: ChangeResult, conditions: headers.Conditions) -> Response:
    """The answer of a change that was made, or was made before."""
    current_exchange().rows = len(result.items)
    response = answer_json(body)
    if len(result.items) == 1 and (etag := result.items[0].etag):
        response.set_etag(etag)
    if result.state is IdempotencyState.REPEATED:
        response.headers["Idempotent-Replayed"] = "true"
    if conditions.wants_minimal:
        response = headers.answer_minimally(response)
    response.headers["Cache-Control"] = "no-store"
    return response


def _fingerprint(names: tuple[str, ...], body: object) -> str:
    """What tells this request from another with the same key: path, query and meaning of the body."""
    asked = [request.method, request.path, request.args.to_dict(), names, body]
    text = msgspec.json.encode(asked, order="sorted")
    return blake2b(text, digest_size=16).hexdigest()
