"""The form of API keys."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lakebase_api.access.api_keys import DIGITS, KeptKey, digest, is_same, make_key, read_id

KEY = make_key()


def test_a_key_has_a_prefix_an_id_256_random_bits_and_a_checksum() -> None:
    assert re.fullmatch("lbk_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}", KEY)
    assert read_id(KEY) == KEY[4:12]
    assert len(DIGITS) ** 43 > 2**256
    assert len({make_key() for _ in range(100)}) == 100


@given(place=st.integers(0, len(KEY) - 1), digit=st.sampled_from(DIGITS + "_-. "))
def test_a_key_with_another_character_in_it_is_told_from_one_that_is_not_known(
    place: int, digit: str
) -> None:
    other = KEY[:place] + digit + KEY[place + 1 :]
    assert (read_id(other) is not None) == (other == KEY)


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    for other in (
        text,
        f"lbk_{text}",
        KEY + text if text else "",
        KEY[:-1] + text if text != KEY[-1] else "",
    ):
        assert read_id(other) is None


def test_two_characters_that_changed_places_are_noticed() -> None:
    for place in range(13, len(KEY) - 1):
        swapped = KEY[:place] + KEY[place + 1] + KEY[place] + KEY[place + 2 :]
        assert read_id(swapped) is None or swapped == KEY


def test_of_a_key_its_digest_is_kept_which_nobody_is_shown() -> None:
    kept = KeptKey("12345678", digest(KEY), "billing")
    assert is_same(KEY, kept)
    assert not is_same(make_key(), kept)
    assert not is_same(KEY, None)
    assert digest(KEY).hex() not in repr(kept)
    assert repr(digest(KEY)) not in repr(kept)
