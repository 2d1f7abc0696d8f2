"""What the log says of an export that cannot go on, after its answer has begun."""

import logging
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from lakebase_api.http import exporting
from lakebase_api.http.hang_up import CutShort
from lakebase_api.sql import key_ranges
from lakebase_api.sql.export_chunks import ExportChunks, Size
from tests.conftest import OrdersDatabase

CUT = "Request: GET /orders/export - cut short after "


@pytest.fixture
def begun(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Iterator[bytes]]:
    """The parts of an export whose first rows were sent, and of which there is more to fetch."""
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(100, 10))
    monkeypatch.setattr(exporting, "PIECE_BYTES", 100_000)
    headers = {"X-Request-Id": "mine"}
    with client.get("/orders/export?format=csv&header=false", headers=headers, buffered=False) as answer:
        parts = answer.iter_encoded()
        while not next(parts):
            pass
        yield parts


def test_a_bug_is_told_with_its_traceback_and_as_an_answer_cut_short(
    begun: Iterator[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ExportChunks, "fetch", fail)
    with pytest.raises(CutShort):
        list(begun)
    bug, cut = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert bug.exc_info is not None
    assert bug.exc_info[0] is ZeroDivisionError
    assert cut.getMessage().startswith(CUT)
    assert cut.getMessage().endswith(", 10 rows, status=200")
    assert {vars(record)["request_id"] for record in (bug, cut)} == {"mine"}


def test_a_table_that_is_no_longer_as_it_must_be_is_told_as_it_is_of_other_requests(
    begun: Iterator[bytes], database: OrdersDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("ALTER TABLE orders_synced RENAME TO other")
    with pytest.raises(CutShort):
        list(begun)
    assert any(record.getMessage().startswith("Not set up: ") for record in caplog.records)
    assert any(record.getMessage().startswith(CUT) for record in caplog.records)
    assert not any(record.exc_info for record in caplog.records)
