"""Answers are kept up to so many bytes, those that were used last."""

from lakebase_api.cache.answers import OVERHEAD, Answer, Answers


def build(size: int) -> Answer:
    """An answer that takes so many bytes."""
    return Answer(b"x" * (size - OVERHEAD), (), rows=1, state="one", known_at=0.0)


def test_what_was_not_used_for_longest_makes_room() -> None:
    answers = Answers(10_000)
    for key in "abc":
        answers.keep(key, build(3_000))
    assert answers.find("a")
    answers.keep("d", build(3_000))
    assert [key for key in "abcd" if answers.find(key)] == ["a", "c", "d"]
    assert (answers.use.answers, answers.use.bytes, answers.use.evictions) == (3, 9_000, 1)


def test_an_answer_takes_the_place_of_the_one_before() -> None:
    answers = Answers(10_000)
    for size in (6_000, 5_000, 7_000):
        answers.keep("a", build(size))
    assert (answers.use.answers, answers.use.bytes, answers.use.evictions) == (1, 7_000, 0)


def test_one_that_is_too_large_for_all_is_not_kept() -> None:
    answers = Answers(4_000)
    answers.keep("a", build(5_000))
    assert answers.find("a") is None
    assert answers.use.bytes == 0


def test_headers_count() -> None:
    answer = build(2_000)
    answer.headers = (("Link", "x" * 500),)
    assert answer.size == 2_504
