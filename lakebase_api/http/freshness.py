"""Tells how fresh a synced table is, and has callers wait for a version of its source."""

import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

from flask import Response, request

from lakebase_api.access.rights import Action
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.freshness_texts import GREATEST_VERSION, HEADERS, MIN_VERSION, TEXT, FreshnessSchema
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.operation import DEMAND_KEY, Answer, Keeping, Operation
from lakebase_api.http.problems import Problem
from lakebase_api.http.read_texts import name_rows, write_text
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.resource import FRESHNESS
from lakebase_api.http.validation import refuse, refuse_query
from lakebase_api.lakebase.copy_status import Freshness
from lakebase_api.lakebase.freshness import SHORTEST_INTERVAL, FreshnessWatch
from lakebase_api.table.declaration import Table

VERSION = re.compile(r"[0-9]{1,19}")
DEMAND = "X-Min-Data-Version"
# Seconds that callers are told to wait, at most.
LONGEST_WAIT = 60
FRESH = (Action.READ, Action.EXPORT)


def add_freshness(watch: FreshnessWatch, table: Table, operations: Sequence[Operation]) -> list[Operation]:
    """The operations with what they tell of how fresh the table is, and one more that tells nothing else.

    Of a table that is no copy they refuse to be asked for a version.
    """
    if table.synced_table is None:
        refusal = partial(_refuse_demand, table)
        return [
            replace(each, demanding=replace(each, around=refusal)) if each.needs in FRESH else each
            for each in operations
        ]
    copy = SyncedTable(watch, table)
    told = [copy.extend(each) if each.needs in FRESH else each for each in operations]
    return [*told, copy.describe()]


def _refuse_demand(table: Table, answer: Answer) -> NoReturn:
    detail = f"{table.name} is not declared as a synced table, and so has no version."
    refuse([{"in": "header", "name": DEMAND, "detail": detail}])


class SyncedTable:
    """The freshness of one table in answers. Safe to share between threads."""

    def __init__(self, watch: FreshnessWatch, table: Table) -> None:
        self._watch = watch
        self._table = table
        # Written anew when something else is known: once a minute, not at each request.
        self._spelled: tuple[Freshness | None, list[tuple[str, str]]] = (None, [])

    def describe(self) -> Operation:
        """The operation that tells it."""
        return Operation(
            "GET",
            f"/{FRESHNESS}",
            f"get_{name_rows(self._table)}_{FRESHNESS}",
            self._answer,
            write_text(TEXT, self._table),
            needs=Action.READ,
            answer=lambda: FreshnessSchema,
            problems=(422, 500),
        )

    def extend(self, operation: Operation) -> Operation:
        """A read that tells it in headers, and takes a demand.

        Then it is read: an answer in memory may be of before the version that is demanded.
        """
        told = replace(
            operation,
            around=self._answer_read,
            headers={**operation.headers, **HEADERS},
            parameters=(*operation.parameters, MIN_VERSION),
        )
        # Nor may a replica answer: what is known to be there is known of the primary.
        demanding = replace(told, around=self._answer_demand, keeping=Keeping.NEVER, may_lag=False)
        return replace(told, demanding=demanding)

    def _answer(self) -> Response:
        refuse_query()
        known = self._watch.look(self._table.name)
        copy = known.copy
        response = answer_json(
            {
                "as_of": copy.as_of,
                "available_since": copy.available_since,
                "source_version": copy.source_version,
                "is_current": known.is_current,
                "meaning": known.meaning,
                "state": copy.state,
                "sync": copy.sync,
                "checked_at": known.checked_at,
                "problem": known.problem,
            }
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _answer_read(self, answer: Answer) -> Response:
        # Found before the rows are read: they are of this version or of a later one.
        known = self._watch.find(self._table.name)
        response = answer()
        if not _is_before(response, known) and not current_exchange().may_be_behind:
            self._tell(response, known)
        return response

    def _answer_demand(self, answer: Answer) -> Response:
        known = self._find_demanded()
        response = answer()
        if _is_before(response, known):
            wait = min(max(1, response.cache_control.max_age or 1), LONGEST_WAIT)
            detail = f"The version is there, but {self._table.name} were last counted before it was."
            raise Problem(kinds.NOT_YET_SYNCED, detail, retry_after=wait)
        self._tell(response, known)
        return response

    def _find_demanded(self) -> Freshness:
        """What is known. Problems: the version that is asked for is not there, or not known to be."""
        version = _read_version(request.environ[DEMAND_KEY])
        known = self._watch.recall(self._table.name)
        if not _has(known, version):
            known = self._watch.look(self._table.name, SHORTEST_INTERVAL)
        if _has(known, version):
            return self._watch.find(self._table.name)
        found = known.copy.source_version
        if found is None:
            detail = f"Which version of its source {self._table.name} has is not known. {known.meaning}"
        else:
            detail = f"{self._table.name} has version {found} of its source, not {version}. {known.meaning}"
        raise Problem(kinds.NOT_YET_SYNCED, detail, retry_after=_choose_wait(known))

    def _tell(self, response: Response, known: Freshness) -> None:
        # Nobody else sets these, and to add is a third of the work of to extend.
        for name, value in self._spell(known):
            response.headers.add(name, value)

    def _spell(self, known: Freshness) -> list[tuple[str, str]]:
        spelled_of, headers = self._spelled
        if spelled_of is not known:
            headers = list(_spell_headers(known))
            self._spelled = (known, headers)
        return headers


def _spell_headers(known: Freshness) -> list[tuple[str, str]]:
    as_of, version = known.copy.as_of, known.copy.source_version
    headers = []
    if as_of is not None:
        headers.append(("X-Data-As-Of", as_of.isoformat().replace("+00:00", "Z")))
    if version is not None:
        headers.append(("X-Data-Version", str(version)))
    return headers


def _read_version(text: str) -> int:
    if not VERSION.fullmatch(text) or int(text) > GREATEST_VERSION:
        detail = f"Must be a version of the source: a whole number from 0 to {GREATEST_VERSION}."
        refuse([{"in": "header", "name": DEMAND, "detail": detail}])
    return int(text)


def _has(known: Freshness, version: int) -> bool:
    found = known.copy.source_version
    return found is not None and found >= version


def _is_before(response: Response, known: Freshness) -> bool:
    """Whether it may be of before the known version was there, as a count or an answer from memory."""
    since, age = known.copy.available_since, response.headers.get("Age")
    if since is None or age is None:
        return False
    # Told in whole seconds, without what is beyond them.
    return (datetime.now(UTC) - since).total_seconds() < float(age) + 1


def _choose_wait(known: Freshness) -> int:
    """Seconds until it may be there, not the same for everybody who asks at once."""
    left = known.copy.sync.seconds_left if known.copy.sync and not known.problem else None
    wait = SHORTEST_INTERVAL if left is None else min(max(1.0, left), LONGEST_WAIT)
    return min(math.ceil(wait * random.uniform(1, 1.25)), LONGEST_WAIT)
