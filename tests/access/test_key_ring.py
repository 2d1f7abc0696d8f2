"""The keys that are loaded: when they are anew, and how long they are good while they cannot be."""

import threading
import time
from collections.abc import Collection, Mapping

import pytest

from lakebase_api.access.api_keys import KeptKey
from lakebase_api.access.key_ring import KeyRing
from lakebase_api.access.refusals import CannotTell
from tests.waiting import PATIENCE, wait_until


class Source:
    """Where keys are loaded from, and a clock, both as a test has them."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.now = 1000.0
        self.keys = {"a": KeptKey("a", bytes(32), "ann")}
        self.used: list[set[str]] = []
        self.loads = 0
        self.is_away = False
        self.answers = threading.Event()
        self.answers.set()
        self.ring = KeyRing(self._load, clock=lambda: self.now, patience=patience)

    def find(self, key_id: str, seconds: float = PATIENCE, *, watches: bool = False) -> KeptKey | None:
        return self.ring.find(key_id, time.monotonic() + seconds, watches=watches)

    def _load(self, used: Collection[str]) -> Mapping[str, KeptKey]:
        self.loads += 1
        self.used.append(set(used))
        self.answers.wait(PATIENCE)
        if self.is_away:
            raise OSError("away")
        return dict(self.keys)


@pytest.fixture
def source() -> Source:
    return Source()


def test_keys_are_loaded_when_first_somebody_asks_and_at_most_once_a_minute(source: Source) -> None:
    assert source.loads == 0
    for _ in range(5):
        assert source.find("a") == source.keys["a"]
        assert source.find("b") is None
    assert source.loads == 1
    source.now += 59
    source.find("a")
    assert source.loads == 1
    source.now += 2
    source.find("a")
    assert source.loads == 2


def test_who_only_watches_has_keys_loaded_once_an_hour(source: Source) -> None:
    source.find("a", watches=True)
    assert source.loads == 1
    source.now += 3599
    assert source.find("a", watches=True) == source.keys["a"]
    assert source.loads == 1
    source.now += 2
    source.find("a", watches=True)
    assert source.loads == 2


def test_of_a_key_that_is_not_loaded_who_watches_has_it_loaded_as_others_do(source: Source) -> None:
    source.find("a")
    source.keys["b"] = KeptKey("b", bytes(32), "bob")
    source.now += 61
    assert source.find("b", watches=True) == source.keys["b"]


def test_a_key_that_is_gone_is_not_found_once_a_minute_is_over_however_long_nobody_asked(
    source: Source,
) -> None:
    source.find("a")
    del source.keys["a"]
    source.now += 599
    assert source.find("a") is None


def test_while_the_source_is_away_what_is_loaded_is_good_for_ten_minutes_and_of_others_nothing_is_known(
    source: Source,
) -> None:
    source.find("a")
    source.is_away = True
    for _ in range(9):
        source.now += 65
        assert source.find("a") == source.keys["a"]
        with pytest.raises(CannotTell):
            source.find("b")
    source.now += 20
    with pytest.raises(CannotTell):
        source.find("a")
    source.is_away = False
    source.now += 5
    assert source.find("a") == source.keys["a"]
    assert source.find("b") is None


def test_a_source_that_hangs_holds_nobody_with_a_key_that_is_loaded_and_others_until_their_deadline() -> None:
    source = Source(patience=0.01)
    source.find("a")
    source.now += 61
    source.answers.clear()
    for _ in range(20):
        assert source.find("a") == source.keys["a"]
    with pytest.raises(CannotTell):
        source.find("b", seconds=0.01)
    assert source.loads == 2
    assert sum(thread.name == "API keys" for thread in threading.enumerate()) == 1
    source.keys["b"] = KeptKey("b", bytes(32), "bob")
    source.answers.set()
    assert source.find("b") == source.keys["b"]
    assert source.loads == 2


def test_many_who_ask_at_once_wait_for_one_load(source: Source) -> None:
    source.answers.clear()
    found: list[KeptKey | None] = []
    threads = [threading.Thread(target=lambda: found.append(source.find("a"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: source.loads == 1)
    source.answers.set()
    for thread in threads:
        thread.join()
    assert found == [source.keys["a"]] * 20
    assert source.loads == 1


def test_after_a_load_that_failed_the_next_waits_for_a_moment(source: Source) -> None:
    source.is_away = True
    for _ in range(5):
        with pytest.raises(CannotTell):
            source.find("a")
    assert source.loads == 1
    source.now += 2
    source.is_away = False
    assert source.find("a") == source.keys["a"]


def test_a_use_is_noted_once_an_hour_with_the_next_load_also_after_one_that_failed(source: Source) -> None:
    key = source.keys["a"]
    source.find("a")
    for _ in range(5):
        source.ring.note_use(key)
    source.now += 61
    source.is_away = True
    source.find("a")
    source.now += 5
    source.is_away = False
    source.find("a")
    source.ring.note_use(key)
    source.now += 61
    source.find("a")
    assert source.used == [set(), {"a"}, {"a"}, set()]
