"""What a request to change the status of orders asks for, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """What became of one item."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"
    UNCONDITIONAL = "unconditional"
    STALE = "stale"
    ILLEGAL = "illegal"


REFUSED = (Outcome.UNKNOWN, Outcome.UNCONDITIONAL, Outcome.STALE, Outcome.ILLEGAL)


class ItemResult(msgspec.Struct, frozen=True):
    """What became of one item, and the order's status and ETag from then on; ``None`` of an unknown order."""

    o_orderkey: int
    outcome: Outcome
    o_orderstatus: str | None
    etag: str | None


class Overtaken(Exception):
    """Another writer changed one of the orders first. Nothing was done, and it may be asked again."""


class Standing(StrEnum):
    """Where the request stands to others with its idempotency key."""

    FIRST = "first"
    REPEATED = "repeated"
    OTHER_BODY = "other body"
    STILL_RUNNING = "still running"


@dataclass(frozen=True)
class Item:
    """A change that is asked for: without a status, to withdraw the one there is. ``if_match`` has ETags."""

    order_key: int
    status: str | None
    if_match: Sequence[str] | None = None


@dataclass(frozen=True)
class ChangeRequest:
    """Changes that one request asks for, each of another order.

    ``is_atomic``: all or none. The fingerprint tells requests apart that have the same idempotency key.
    """

    items: Sequence[Item]
    caller: str
    request_id: str
    is_atomic: bool = True
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True)
class ChangeResult:
    """The results are those of the first request when this one repeats it, else of what was done now."""

    standing: Standing
    items: list[ItemResult]
