"""What is promised of status changes, in memory: what the service is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Form(StrEnum):
    """How a change is asked for."""

    POST = "POST"
    PATCH = "PATCH"
    DELETE = "DELETE"
    BATCH = "batch"
    LENIENT_BATCH = "batch that need not be atomic"


Seen = tuple[str, int]


@dataclass(frozen=True)
class Request:
    """A change: the status wanted of each order, ``None`` to withdraw.

    ``seen`` is the status and version whose ETag it comes with, ``name`` its Idempotency-Key.
    """

    form: Form
    items: tuple[tuple[int, str | None], ...]
    seen: Seen | None = None
    name: str | None = None


@dataclass(frozen=True)
class Expected:
    """The answer: its status, and whether it is that of an earlier request."""

    status: int
    is_replay: bool = False


@dataclass
class ModelOrder:
    """An order. ``change`` is the status that shows over the synced one."""

    synced: str = "O"
    is_there: bool = True
    change: str | None = None
    # Version, old and new status of each, the oldest first.
    history: list[tuple[int, str | None, str | None]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The status that reads show."""
        return self.change or self.synced

    @property
    def seen(self) -> Seen:
        """What the ETag is made of."""
        return self.shown, len(self.history)

    def decide(self, wanted: str | None, seen: Seen | None) -> int:
        """The status of the answer to one item; 204 if there is nothing to do."""
        if not self.is_there:
            return 404
        if seen is not None and seen != self.seen:
            return 412
        is_done = self.change is None if wanted is None else self.shown == wanted
        return 204 if is_done else 200

    def make(self, wanted: str | None) -> None:
        """Make the change."""
        old, self.change = self.shown, wanted
        self.history.append((len(self.history) + 1, old, self.shown))


class Model:
    """The orders, and the requests that have been answered."""

    def __init__(self, keys: tuple[int, ...]) -> None:
        self.orders = {key: ModelOrder() for key in keys}
        self._kept: dict[str, object] = {}

    def sync(self, statuses: Mapping[int, str | None]) -> None:
        """The table has these statuses from now on; ``None``: not that order."""
        for key, status in statuses.items():
            order = self.orders[key]
            order.is_there = status is not None
            order.synced = status or order.synced

    def predict(self, request: Request) -> list[int]:
        """The orders that it would change."""
        outcomes = self._decide(request)
        is_refused = _is_atomic(request) and {404, 412} & set(outcomes)
        if is_refused or request.name in self._kept:
            return []
        return [key for (key, _), outcome in zip(request.items, outcomes, strict=True) if outcome == 200]

    def ask(self, request: Request) -> Expected:
        """Do what is asked for, or not."""
        outcomes = self._decide(request)
        if _is_atomic(request) and 404 in outcomes:
            return Expected(404)
        identity = request.form, request.items
        if request.name in self._kept:
            is_same = self._kept[request.name] == identity
            return Expected(200, is_replay=True) if is_same else Expected(422)
        if _is_atomic(request) and 412 in outcomes:
            return Expected(412)
        for (key, wanted), outcome in zip(request.items, outcomes, strict=True):
            if outcome == 200:
                self.orders[key].make(wanted)
        if request.name:
            self._kept[request.name] = identity
        return Expected(200)

    def _decide(self, request: Request) -> list[int]:
        """The status of the answer to each item."""
        return [self.orders[key].decide(wanted, request.seen) for key, wanted in request.items]


def _is_atomic(request: Request) -> bool:
    return request.form is not Form.LENIENT_BATCH
