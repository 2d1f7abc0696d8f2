"""What waits to be written: when it is, what is dropped first, and that refusals alone wake no database."""

from collections.abc import Sequence

import psycopg
import pytest

from lakebase_api.access.audit import MOST_REFUSALS, Audit
from lakebase_api.sql.audit_table import AuditAction, Event

EXPORT, REFUSAL = Event(AuditAction.EXPORT, "ada"), Event(AuditAction.REFUSAL, "ada")


class Kept:
    """An audit whose time and database are made up."""

    def __init__(self) -> None:
        self.now = self.used = 1000.0
        self.is_away = False
        self.tries = 0
        self.events: list[Event] = []
        self.audit = Audit(self._store, lambda: self.used, lambda: self.now)

    def _store(self, events: Sequence[Event], time_limit: float) -> None:
        self.tries += 1
        if self.is_away:
            raise psycopg.OperationalError("away")
        self.events += events

    def pass_time(self, seconds: float, *, is_used: bool = True) -> "Kept":
        """Let time pass, in which others use the database, and write what is due."""
        self.now += seconds
        if is_used:
            self.used = self.now - 1
        self.audit.write()
        return self

    @property
    def actions(self) -> list[str]:
        """What was written."""
        return [event.action for event in self.events]


@pytest.fixture
def kept() -> Kept:
    """An audit in which nothing waits."""
    return Kept()


def test_what_is_no_refusal_is_written_at_once(kept: Kept) -> None:
    kept.audit.record(EXPORT)
    assert kept.pass_time(0, is_used=False).events == [EXPORT]


def test_refusals_are_written_once_a_minute(kept: Kept) -> None:
    for _ in range(61):
        kept.audit.record_refusal(REFUSAL)
        kept.pass_time(2)
    assert kept.tries == 2


def test_refusals_alone_never_wake_the_database(kept: Kept) -> None:
    kept.pass_time(100).pass_time(80, is_used=False)
    for _ in range(100):
        kept.audit.record_refusal(REFUSAL)
        kept.pass_time(60, is_used=False)
    assert kept.tries == 0
    assert kept.pass_time(60).actions == ["refusal"] * 100


def test_refusals_after_the_last_use_are_written_with_it_or_not_before_the_next(kept: Kept) -> None:
    kept.audit.record_refusal(REFUSAL)
    kept.pass_time(60)
    kept.audit.record_refusal(REFUSAL)
    kept.pass_time(60, is_used=False)
    assert kept.actions == ["refusal"] * 2
    kept.audit.record_refusal(REFUSAL)
    for _ in range(100):
        kept.pass_time(2, is_used=False)
    assert kept.tries == 2


def test_refusals_that_there_is_no_room_for_are_counted(kept: Kept) -> None:
    for _ in range(MOST_REFUSALS + 5):
        kept.audit.record_refusal(REFUSAL)
    kept.audit.record(EXPORT)
    kept.pass_time(60)
    assert kept.events[0] == EXPORT
    assert len(kept.events) == 1 + MOST_REFUSALS + 1
    assert (kept.events[-1].action, kept.events[-1].rows) == ("dropped", 5)
    assert kept.pass_time(100).tries == 1


def test_what_cannot_be_written_is_tried_again_while_others_use_the_database(kept: Kept) -> None:
    kept.is_away = True
    kept.audit.record(EXPORT)
    kept.audit.record_refusal(REFUSAL)
    kept.pass_time(60).pass_time(30).pass_time(100, is_used=False)
    assert kept.tries == 1
    kept.pass_time(61)
    assert kept.tries == 2
    kept.is_away = False
    assert sorted(kept.pass_time(61).actions) == ["export", "refusal"]


def test_what_is_left_is_written_at_the_end(kept: Kept) -> None:
    kept.audit.record(EXPORT)
    kept.audit.close()
    assert kept.events == [EXPORT]
