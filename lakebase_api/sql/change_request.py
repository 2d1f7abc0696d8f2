"""What a request to change rows asks for, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from lakebase_api.sql.predicates import EVERYTHING, Predicates


class Outcome(StrEnum):
    """What became of one item."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"
    UNCONDITIONAL = "unconditional"
    STALE = "stale"
    ILLEGAL = "illegal"
    OUTSIDE = "outside"


class ItemResult(msgspec.Struct, frozen=True):
    """What became of one item: its key, and the values of its columns and its ETag from then on.

    The values are texts as PostgreSQL writes them. Of an unknown row they and the ETag are ``None``.
    ``illegal`` is the column that may not change so.
    """

    key: list[str]
    outcome: Outcome
    values: dict[str, str | None]
    etag: str | None
    illegal: str | None = None


class Overtaken(Exception):
    """Other writers changed one of the rows first, each time. Nothing was done, and it may be asked again."""


class ValueNotTaken(Exception):
    """The database does not take one of the values: it is out of range, or breaks a constraint."""


class IdempotencyState(StrEnum):
    """Where the request stands to others with its idempotency key."""

    FIRST = "first"
    REPEATED = "repeated"
    OTHER_BODY = "other body"
    STILL_RUNNING = "still running"


@dataclass(frozen=True)
class Item:
    """A change that is asked for of one row: its key, and the new values in the order of the columns.

    Values are texts that PostgreSQL reads; none of them to withdraw a change. ``if_match`` has ETags.
    """

    key: tuple[object, ...]
    values: tuple[str | None, ...] = ()
    if_match: Sequence[str] | None = None


@dataclass(frozen=True)
class ChangeRequest:
    """Changes of the same columns that one request asks for, each of another row.

    ``is_atomic``: all or none. Rows that are not ``within`` are unknown, and none may be changed to be so:
    that is ``OUTSIDE``. The fingerprint tells requests apart that have the same idempotency key.
    """

    columns: tuple[str, ...]
    items: Sequence[Item]
    caller: str
    request_id: str
    is_withdrawal: bool = False
    requires_match: bool = False
    is_atomic: bool = True
    idempotency_key: str | None = None
    fingerprint: str = ""
    within: Predicates = EVERYTHING
    # What the caller is called, and how it was established who they are.
    caller_label: str = ""
    caller_method: str = ""


@dataclass(frozen=True)
class ChangeResult:
    """The results are those of the first request when this one repeats it, else of what was done now."""

    state: IdempotencyState
    items: list[ItemResult]
