import pytest

from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.table.types import find_type
from lakebase_api.table.values import parse_shown, parse_value
from tests.conftest import OrdersDatabase

TEXTS = {
    "date": [
        *("infinity", "-infinity", "0001-01-01", "0001-12-31 BC", "0005-02-29 BC", "4714-11-24 BC"),
        *("9999-12-31", "10000-02-29", "5874897-12-31"),
    ],
    "timestamp": [
        *("infinity", "0044-03-15T12:00:00.5 BC", "4714-11-24T00:00:00 BC", "9999-12-31T23:59:59.999999"),
        *("294276-12-31T23:59:59.999999", "2026-03-29 01:30:00"),
    ],
    "timestamptz": [
        *("-infinity", "0044-03-15T12:00:00+00:00 BC", "4714-11-24T00:00:00+00:00 BC"),
        *("0001-01-01T00:00:00+15:59", "9999-12-31T23:59:59-01:00", "294276-12-31T23:59:59.999999+00:00"),
        *("1883-11-18T12:03:57-04:56:02", "2026-01-02 03:04:05+00", "2026-01-02T03:04:05Z"),
    ],
    "time": ["00:00:00", "24:00:00", "23:59:59.999999"],
}
NONE = {
    "date": ["0000-01-01", "2023-02-29", "0004-02-29 BC", "4714-11-23 BC", "5874898-01-01", "today", "epoch"],
    "timestamp": ["2026-01-01", "2026-01-01T24:00:00", "294277-01-01T00:00:00", "2026-01-01T00:00:00Z"],
    "timestamptz": ["2026-01-01T00:00:00", "294276-12-31T23:59:59-01:00", "4714-11-24T00:00:00+01:00 BC"],
    "time": ["24:00:01", "1:00", "12:60:00"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_all_that_answers_show_of_times_is_read_and_means_the_same(
    server: EmbeddedPostgres, name: str
) -> None:
    database = OrdersDatabase(server, "postgres")
    for text in TEXTS[name]:
        read = parse_shown(find_type(name), text)
        same = f"SELECT '{read}'::{name} = '{text}'::{name}"
        assert database.execute(same) == [(True,)], text


@pytest.mark.parametrize("name", NONE)
def test_what_no_column_can_hold_is_refused(name: str) -> None:
    for text in NONE[name]:
        with pytest.raises(ValueError, match="Must be a "):
            parse_shown(find_type(name), text)


def test_times_that_mean_the_same_are_read_as_one() -> None:
    texts = ("2026-01-02T03:04:05Z", "2026-01-02 04:04:05 01", "2026-01-02T03:04:05+00:00")
    assert {parse_shown(find_type("timestamptz"), text) for text in texts} == {"2026-01-02T03:04:05+00:00"}


def test_filters_take_years_of_four_digits_alone() -> None:
    for text in ("infinity", "10000-01-01", "0044-03-15 BC"):
        with pytest.raises(ValueError, match="Must be a date"):
            parse_value(find_type("date"), text)
