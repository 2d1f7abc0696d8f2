"""What may happen to orders and their status, drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hypothesis import strategies as st

from tests.orders.status_model import Form

KEYS = (1, 2, 3)


class Precondition(StrEnum):
    """Which ETag of the order a change comes with."""

    NONE = "none"
    CURRENT = "current"
    EARLIER = "earlier"


class Fate(StrEnum):
    """What becomes of the first answer: in the last case the connection to the database goes before it."""

    ARRIVES = "arrives"
    LOST = "lost"
    CUT = "cut"


@dataclass(frozen=True)
class Change:
    """A step: a change of this form."""

    form: Form
    statuses: Mapping[int, str]
    precondition: Precondition
    name: str | None
    fate: Fate
    worker: int


@dataclass(frozen=True)
class Repeat:
    """A step: an earlier request comes again."""

    which: int
    worker: int


@dataclass(frozen=True)
class Sync:
    """A step: the table is written anew, with these statuses for some orders, or without them."""

    is_replaced: bool
    statuses: Mapping[int, str | None]


Step = Change | Repeat | Sync
STATUSES = st.sampled_from("FOP")
WORKERS = st.integers(0, 1)
CHANGES = st.builds(
    Change,
    form=st.sampled_from(Form),
    statuses=st.dictionaries(st.sampled_from(KEYS), STATUSES, min_size=1),
    precondition=st.sampled_from(Precondition),
    name=st.none() | st.sampled_from("ab"),
    fate=st.sampled_from(Fate),
    worker=WORKERS,
)
REPEATS = st.builds(Repeat, which=st.integers(0, 20), worker=WORKERS)
SYNCS = st.builds(
    Sync,
    is_replaced=st.booleans(),
    # Seldom is an order left out.
    statuses=st.dictionaries(st.sampled_from(KEYS), st.sampled_from((*"FOPFOP", None))),
)
STEPS = st.one_of(CHANGES, CHANGES, CHANGES, REPEATS, SYNCS)
