"""What requests say of answers from memory is read as RFC 9111 has it."""

import math

import pytest

from lakebase_api.http.cache_directives import ALL_ALLOWED, Directives, read_directives


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALL_ALLOWED),
        ("no-cache", Directives(wants_new=True)),
        ("NO-CACHE , no-store", Directives(wants_new=True, forbids_keeping=True)),
        ("max-age=0", Directives(greatest_age=0.0)),
        ('max-age="60", max-stale', Directives(greatest_age=60.0, staleness=math.inf)),
        ("only-if-cached,max-stale=30", Directives(wants_kept=True, staleness=30.0)),
        ('max-age=soon, max-stale=-1, private="x", =, ,, no cache', ALL_ALLOWED),
    ],
)
def test_directives_are_read(text: str, expected: Directives) -> None:
    assert read_directives(text) == expected
