"""Forms as common readers take them: rows alone, and marks of byte order."""

import json
from codecs import BOM_UTF8

import pytest
from flask.testing import FlaskClient

from lakebase_api.sql import key_ranges
from lakebase_api.sql.export_chunks import Size
from tests.orders.changing import read
from tests.orders.exporting import COLUMNS, export

WHOLE = "format=ndjson&trailer=false"
NDJSON = {"Accept": "application/x-ndjson"}
HEADER = COLUMNS.replace(" ", "").encode() + b"\n"


def test_without_the_trailer_every_line_is_an_order(reader: FlaskClient) -> None:
    whole = export(reader, "format=ndjson").splitlines(keepends=True)
    assert export(reader, "format=ndjson&trailer=false").splitlines(keepends=True) == whole[:-1]
    answer = reader.get("/orders/export?trailer=false", headers=NDJSON)
    assert answer.data == b"".join(whole[:-1])
    assert export(reader, "format=csv&trailer=false") == export(reader, "format=csv")


def test_without_the_trailer_one_goes_on_until_there_is_no_row(
    reader: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "FIRST_SIZE", Size(400, 50))
    monkeypatch.setattr(key_ranges, "USUAL_BYTES", 5_000)
    keys = [0]
    for _ in range(1000):
        query = f"format=ndjson&trailer=false&cursor={keys[-1]}"
        answer = reader.get(f"/orders/export?{query}", headers={"X-Request-Timeout": "0.2"})
        if answer.status_code == 200:
            if not answer.data:
                break
            keys += [json.loads(line)["o_orderkey"] for line in answer.data.splitlines()]
    assert keys[1:] == [json.loads(line)["o_orderkey"] for line in export(reader, WHOLE).splitlines()]


@pytest.mark.parametrize("path", ["stream", "pages"])
def test_csv_of_a_list_begins_with_a_mark_if_asked(reader: FlaskClient, path: str) -> None:
    csv = {"Accept": "text/csv"}
    plain = reader.get(f"/orders/{path}?page_size=2", headers=csv).data
    assert plain.startswith(HEADER)
    assert reader.get(f"/orders/{path}?page_size=2&bom=true", headers=csv).data == BOM_UTF8 + plain
    assert reader.get(f"/orders/{path}?page_size=2&bom=false", headers=csv).data == plain
    assert read(reader, f"/orders/{path}?page_size=2&bom=true")["orders"]


@pytest.mark.parametrize(
    "rest", ["", "&cursor=59000", "&cursor=59000&header=true", "&o_orderdate_to=0001-01-01"]
)
def test_csv_of_an_export_begins_with_a_mark_if_asked(reader: FlaskClient, rest: str) -> None:
    plain = export(reader, f"format=csv{rest}")
    assert export(reader, f"format=csv&bom=true{rest}") == BOM_UTF8 + plain
    lines = f"format=ndjson{rest.replace('&header=true', '')}"
    assert export(reader, f"{lines}&bom=true") == export(reader, lines)


def test_a_mark_before_a_json_body_is_taken_for_nothing(writer: FlaskClient, order_key: int) -> None:
    body = BOM_UTF8 + b'{"o_orderstatus": "F"}'
    for change in (
        writer.post(f"/orders/{order_key}/status", data=body, content_type="application/json"),
        writer.patch(f"/orders/{order_key}", data=body, content_type="application/merge-patch+json"),
    ):
        assert change.status_code == 200
        assert json.loads(change.data)["o_orderstatus"] == "F"
    twice = writer.post(f"/orders/{order_key}/status", data=BOM_UTF8 + body, content_type="application/json")
    assert twice.status_code == 400
