"""Who gets what is free, and how much one may take."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakebase_api.lakebase.places import Places
from lakebase_api.lakebase.turns import Turn, Turns


def find_come(asked: dict[str, Turn[int]]) -> set[str]:
    """The names of the turns that have come."""
    return {name for name, turn in asked.items() if turn.thing is not None}


def test_what_becomes_free_goes_to_the_flow_that_has_the_fewest() -> None:
    turns = Turns(range(3))
    held = [turns.ask("ann") for _ in range(3)]
    asked = {f"ann {number}": turns.ask("ann") for number in range(5)}
    asked |= {"bob 0": turns.ask("bob"), "bob 1": turns.ask("bob"), "cid": turns.ask("cid")}
    held[0].end()
    assert find_come(asked) == {"bob 0"}
    held[1].end()
    assert find_come(asked) == {"bob 0", "cid"}
    asked.pop("cid").end()
    assert find_come(asked) == {"bob 0", "ann 0"}


def test_among_equals_it_goes_to_who_got_one_longest_ago() -> None:
    turns = Turns(range(1))
    held = turns.ask("ann")
    asked = [turns.ask(flow) for flow in ("ann", "ann", "bob", "bob", "cid")]
    order = []
    while asked:
        held.end()
        [held] = [turn for turn in asked if turn.thing is not None]
        asked.remove(held)
        order.append(held.flow)
    assert order == ["bob", "cid", "ann", "bob", "ann"]


def test_who_comes_back_is_behind_those_who_wait() -> None:
    turns = Turns(range(1))
    first = turns.ask("ann")
    second = turns.ask("ann")
    first.end()
    third = turns.ask("ann")
    assert second.thing is not None
    assert third.thing is None


def test_a_wait_in_vain_keeps_its_place_until_it_is_ended() -> None:
    turns = Turns(range(1))
    held, waiting, behind = turns.ask("ann"), turns.ask("ann"), turns.ask("ann")
    with pytest.raises(TimeoutError):
        waiting.wait(0)
    assert turns.waiting == 2
    held.end()
    assert waiting.wait(0) == 0
    behind.end()
    waiting.end()
    assert (turns.waiting, turns.given_up) == (0, 1)
    with turns.take("bob", 0) as thing:
        assert thing == 0


def test_no_more_are_lent_than_the_limit_and_those_who_wait_get_what_it_leaves_when_it_rises() -> None:
    turns = Turns(range(4))
    held = [turns.ask("ann") for _ in range(3)]
    turns.limit(2)
    waiting = [turns.ask("bob"), turns.ask("bob")]
    held.pop().end()
    assert [turn.thing for turn in waiting] == [None, None]
    turns.limit(4)
    assert None not in [turn.thing for turn in waiting]


def test_a_thing_is_lent_to_one_at_a_time_whatever_many_threads_do() -> None:
    turns, in_use, lock = Turns(range(3)), set[int](), threading.Lock()

    def take(flow: str) -> None:
        for _ in range(200):
            with turns.take(flow, 30) as thing:
                with lock:
                    assert thing not in in_use
                    in_use.add(thing)
                with lock:
                    in_use.remove(thing)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(take, ["ann", "bob", "cid"] * 4))
    assert [turns.ask("ann").thing is None for _ in range(4)] == [False, False, False, True]


def test_alone_one_may_take_all_but_what_is_kept_for_others() -> None:
    places = Places(8, 6)
    assert [places.take("ann") for _ in range(7)] == [True] * 6 + [False]
    assert [places.take("bob") for _ in range(3)] == [True] * 2 + [False]


def test_beside_others_one_has_half_at_most() -> None:
    places = Places(8, 6)
    for _ in range(5):
        places.take("ann")
    assert places.take("bob")
    assert not places.take("ann")
    places.leave("ann")
    places.leave("ann")
    assert places.take("ann")
    assert not places.take("ann")
    places.leave("bob")
    assert places.take("ann")


def test_what_one_may_always_have_is_not_left_to_others() -> None:
    places = Places(8, 6, always=5)
    assert places.take("bob")
    assert [places.take("ann") for _ in range(6)] == [True] * 5 + [False]
