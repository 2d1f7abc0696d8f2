"""From the request of a change to what became of it, and to its answer."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from flask import Response, request

from lakebase_api.lakebase.database import Database
from lakebase_api.orders.status.change import (
    ChangeRequest,
    ChangeResult,
    Item,
    ItemResult,
    Outcome,
    Overtaken,
    Standing,
)
from lakebase_api.orders.status.changes import StatusChanges
from lakebase_api.settings import Settings, StatusWrites
from lakebase_api.web import problem_types as kinds
from lakebase_api.web.answers import answer_json
from lakebase_api.web.conditions import Conditions, answer_minimally, find_caller
from lakebase_api.web.exchange import current_exchange
from lakebase_api.web.problem_types import ProblemType
from lakebase_api.web.problems import Problem

# Seconds before a repeated request looks again whether the first has ended.
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
# How often a change is tried that others were faster with, and the longest pause between, in seconds: each
# time one of them is done, and the pauses, longer and longer, part those who are left.
MOST_TRIES = 15
FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.5

REFUSALS: dict[Outcome, ProblemType] = {
    Outcome.UNKNOWN: kinds.ORDER_NOT_FOUND,
    Outcome.UNCONDITIONAL: kinds.PRECONDITION_REQUIRED,
    Outcome.STALE: kinds.PRECONDITION_FAILED,
    Outcome.ILLEGAL: kinds.ILLEGAL_TRANSITION,
}


@dataclass(frozen=True)
class StatusWriter:
    """Makes the changes that requests ask for. Safe to share between threads."""

    database: Database
    changes: StatusChanges
    settings: Settings

    def change(
        self, items: Sequence[Item], body: object, conditions: Conditions, *, is_atomic: bool = True
    ) -> ChangeResult:
        """Make the changes for the current request.

        Problems: writes are off; its key is in use; others always were faster.
        """
        if self.settings.status_writes == StatusWrites.OFF:
            raise Problem(kinds.STATUS_WRITES_OFF, kinds.STATUS_WRITES_OFF.meaning)
        key = conditions.idempotency_key
        asked = ChangeRequest(
            items=items,
            caller=find_caller(trusts_headers=self.settings.trusts_identity),
            request_id=current_exchange().request_id,
            is_atomic=is_atomic,
            idempotency_key=key,
            fingerprint=_fingerprint(body) if key else "",
        )
        # What names itself is done once however often it is sent.
        write = self.database.write_repeatably if key else self.database.write
        for pause in (*PAUSES, None):
            result = _outlast(lambda: write(self.changes.change, asked))
            if result.standing is not Standing.STILL_RUNNING or pause is None:
                break
            time.sleep(pause * random.uniform(0.5, 1))
        if result.standing is Standing.STILL_RUNNING:
            raise Problem(kinds.STILL_RUNNING, kinds.STILL_RUNNING.meaning)
        if result.standing is Standing.OTHER_BODY:
            raise Problem(kinds.KEY_REUSED, kinds.KEY_REUSED.meaning)
        return result

    def explain(self, item: ItemResult) -> str:
        """Why the item was refused, for the client to read."""
        if item.outcome is Outcome.UNKNOWN:
            return f"There is no order {item.o_orderkey}."
        if item.outcome is Outcome.ILLEGAL:
            return self._explain_transitions(item)
        return REFUSALS[item.outcome].meaning

    def _explain_transitions(self, item: ItemResult) -> str:
        allowed = [
            then
            for now, then in (pair.split(">") for pair in self.settings.status_transitions)
            if now == item.o_orderstatus
        ]
        named = f"only to {' or '.join(allowed)}" if allowed else "no more"
        return f"The status of order {item.o_orderkey} is {item.o_orderstatus} and may change {named}."


def answer_change(body: dict[str, Any], result: ChangeResult, conditions: Conditions) -> Response:
    """The answer of a change that was made, or was made before."""
    response = answer_json(body)
    if len(result.items) == 1 and (etag := result.items[0].etag):
        response.set_etag(etag)
    if result.standing is Standing.REPEATED:
        response.headers["Idempotent-Replayed"] = "true"
    if conditions.wants_minimal:
        response = answer_minimally(response)
    response.headers["Cache-Control"] = "no-store"
    return response


def _outlast(change: Callable[[], ChangeResult]) -> ChangeResult:
    """The result of the change, tried again while others are faster. Problems: they always are."""
    for tries in range(MOST_TRIES):
        try:
            return change()
        except Overtaken:
            time.sleep(min(FIRST_PAUSE * 2**tries, LONGEST_PAUSE) * random.random())
    raise Problem(kinds.CONFLICT, kinds.CONFLICT.meaning)


def _fingerprint(body: object) -> str:
    """What tells this request from another with the same key: path, query and meaning of the body."""
    text = msgspec.json.encode([request.method, request.path, request.args.to_dict(), body], order="sorted")
    return blake2b(text, digest_size=16).hexdigest()
