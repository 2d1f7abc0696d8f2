"""What may happen to orders and their status, drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.orders.status_model import Form

KEYS = (1, 2, 3)


@dataclass(frozen=True)
class Change:
    """A step: a change of this form. ``fate`` is what becomes of its first answer."""

    form: Form
    statuses: Mapping[int, str]
    is_conditional: bool
    name: str | None
    fate: str
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
STEPS = st.one_of(
    st.builds(
        Change,
        form=st.sampled_from(Form),
        statuses=st.dictionaries(st.sampled_from(KEYS), STATUSES, min_size=1),
        is_conditional=st.booleans(),
        name=st.none() | st.sampled_from("ab"),
        fate=st.sampled_from(("arrives", "arrives", "lost", "cut")),
        worker=WORKERS,
    ),
    st.builds(Repeat, which=st.integers(0, 20), worker=WORKERS),
    st.builds(
        Sync,
        is_replaced=st.booleans(),
        statuses=st.dictionaries(st.sampled_from(KEYS), STATUSES | st.none()),
    ),
)
