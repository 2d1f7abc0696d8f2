import json
import re
from decimal import Decimal
from io import BytesIO

import pytest
from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import changes_of, etag_of

FIELDS = [
    "o_orderkey",
    "o_custkey",
    "o_orderstatus",
    "o_totalprice",
    "o_orderdate",
    "o_orderpriority",
    "o_clerk",
    "o_shippriority",
    "o_comment",
]


def test_an_order_has_exactly_the_documented_fields_in_order(reader: FlaskClient) -> None:
    answer = reader.get("/orders/1")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    pairs = json.loads(answer.data, object_pairs_hook=list)
    assert [name for name, _ in pairs] == FIELDS
    assert answer.json == {
        "o_orderkey": 1,
        "o_custkey": 370,
        "o_orderstatus": "O",
        "o_totalprice": 172799.49,
        "o_orderdate": "1996-01-02",
        "o_orderpriority": "5-LOW",
        "o_clerk": "Clerk#000000951",
        "o_shippriority": 0,
        "o_comment": "nstructions sleep furiously among ",
    }


def test_a_price_is_written_with_the_digits_of_the_database(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    # Neither number survives a binary float.
    for price in ("1234567890123456.78", "0.10"):
        database.execute(f"UPDATE orders_synced SET o_totalprice = {price} WHERE o_orderkey = 1")
        assert f'"o_totalprice":{price},' in client.get("/orders/1").text
        assert f'"o_totalprice":{price},' in client.get("/orders/stream?page_size=1").text


def test_nulls_and_any_text_come_out_as_they_are(database: OrdersDatabase, client: FlaskClient) -> None:
    others = ", ".join(f"{name} = NULL" for name in FIELDS[1:-1])
    comment = 'tab\t "quotes" \\ \u2028 ünïcode 🙂 '
    database.execute(f"UPDATE orders_synced SET {others}, o_comment = '{comment}' WHERE o_orderkey = 1")
    order = client.get("/orders/1").json
    assert order == dict.fromkeys(FIELDS) | {"o_orderkey": 1, "o_comment": comment}


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/orders/0", 404, "order-not-found"),
        ("/orders/-5", 404, "order-not-found"),
        ("/orders/-9223372036854775808", 404, "order-not-found"),
        ("/orders/-9223372036854775809", 422, "invalid-request"),
        ("/orders/-99999999999999999999", 422, "invalid-request"),
        ("/orders/1.5", 422, "invalid-request"),
        ("/orders/abc", 422, "invalid-request"),
        ("/orders/%D9%A1", 422, "invalid-request"),  # a digit, but not one of ours
        ("/orders/1_0", 422, "invalid-request"),
        ("/orders/%00", 422, "invalid-request"),
        ("/orders/9223372036854775808", 422, "invalid-request"),
        ("/orders/9223372036854775807", 404, "order-not-found"),
        ("/orders/8", 404, "order-not-found"),
    ],
)
def test_a_key_that_is_no_order_is_refused_as_documented(
    reader: FlaskClient, path: str, status: int, kind: str
) -> None:
    answer = reader.get(path)
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["type"] == f"/problems/{kind}"


def test_an_order_is_not_sent_again_while_it_is_the_same(
    database: OrdersDatabase, client: FlaskClient
) -> None:
    first = client.get("/orders/1")
    assert first.headers["Cache-Control"] == "private, no-cache"
    unchanged = client.get("/orders/1", headers={"If-None-Match": first.headers["ETag"]})
    assert unchanged.status_code == 304
    assert unchanged.data == b""
    assert unchanged.headers["ETag"] == first.headers["ETag"]
    database.execute("UPDATE orders_synced SET o_comment = 'new' WHERE o_orderkey = 1")
    changed = client.get("/orders/1", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_samples_are_random_keys_that_exist(reader: FlaskClient) -> None:
    draws = []
    for _ in range(2):
        answer = reader.get("/orders/sample")
        assert answer.json is not None
        draws.append(answer.json["sample_order_keys"])
    assert draws[0] != draws[1]
    for draw in draws:
        assert len(set(draw)) == 5
        for key in draw:
            assert reader.get(f"/orders/{key}").status_code == 200


def test_a_status_update_is_stored_and_answered(client: FlaskClient) -> None:
    answer = client.post("/orders/7/status", json={"o_orderstatus": "P"})
    assert answer.status_code == 200
    assert answer.json == {
        "o_orderkey": 7,
        "o_orderstatus": "P",
        "message": "Order status updated successfully",
    }
    order = client.get("/orders/7").json
    assert order is not None
    assert order["o_orderstatus"] == "P"


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status"),
    [
        ("/orders/1/status", b'{"o_orderstatus": "X"}', "application/json", 422),
        ("/orders/1/status", b'{"o_orderstatus": null}', "application/json", 422),
        ("/orders/1/status", b'{"o_orderstatus": "F", "o_comment": "x"}', "application/json", 422),
        ("/orders/1/status", b"{}", "application/json", 422),
        ("/orders/1/status", b"[]", "application/json", 422),
        ("/orders/1/status", b"null", "application/json", 422),
        ("/orders/1/status?dry_run=1", b'{"o_orderstatus": "F"}', "application/json", 422),
        ("/orders/1/status", b"not json", "application/json", 400),
        ("/orders/1/status", b"", "application/json", 400),
        ("/orders/1/status", b'{"o_orderstatus": "\xff"}', "application/json", 400),
        ("/orders/1/status", b'"\\ud800"', "application/json", 400),
        ("/orders/1/status", b"[" * 60_000, "application/json", 400),
        ("/orders/1/status", b'{"o_orderstatus": "F"}', "text/plain", 415),
        ("/orders/1/status", b'{"o_orderstatus": "F"}', None, 415),
        ("/orders/1/status", b'{"o_orderstatus": "' + b"F" * 65536 + b'"}', "application/json", 413),
        ("/orders/0/status", b'{"o_orderstatus": "F"}', "application/json", 404),
        ("/orders/x/status", b'{"o_orderstatus": "F"}', "application/json", 422),
        ("/orders/8/status", b'{"o_orderstatus": "F"}', "application/json", 404),
    ],
)
def test_a_wrong_status_update_is_refused_and_changes_nothing(
    writer: FlaskClient, path: str, body: bytes, content_type: str | None, status: int
) -> None:
    before = etag_of(writer, 1)
    answer = writer.post(path, data=body, content_type=content_type)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert (etag_of(writer, 1), changes_of(writer, 1)) == (before, [])


def test_unknown_names_are_refused_by_name(reader: FlaskClient) -> None:
    for path in ("/orders/pages", "/orders/stream", "/orders/count", "/orders/sample", "/orders/1", "/livez"):
        answer = reader.get(f"{path}?pagesize=5&x=1")
        assert answer.status_code == 422, path
        assert answer.json is not None
        named = {(item["in"], item["name"]) for item in answer.json["errors"]}
        assert named == {("query", "pagesize"), ("query", "x")}
    body = reader.post("/orders/1/status", json={"o_orderstatus": "F", "note": 1}).json
    assert body is not None
    assert body["errors"] == [{"in": "body", "name": "note", "detail": "Unknown field."}]


def test_a_table_with_another_name_is_served(database: OrdersDatabase, open_app: AppOpener) -> None:
    database.execute('CREATE SCHEMA "Odd Schema"')
    database.execute('ALTER TABLE orders_synced SET SCHEMA "Odd Schema"')
    database.execute('ALTER TABLE "Odd Schema".orders_synced RENAME TO "my""orders"')
    database.execute('GRANT USAGE ON SCHEMA "Odd Schema" TO orders_app')
    names = {"DEFAULT_POSTGRES_SCHEMA": "Odd Schema", "DEFAULT_POSTGRES_TABLE": 'my"orders'}
    client = open_app({**database.environment, **names}).test_client()
    for path in ("/orders/1", "/orders/count", "/orders/sample", "/orders/pages", "/orders/stream"):
        assert client.get(path).status_code == 200, path


def test_head_and_options_work_everywhere(reader: FlaskClient) -> None:
    paths = ("/orders/1", "/orders/count", "/orders/pages", "/orders/stream", "/health", "/", "/openapi.json")
    for path in paths:
        head, get = reader.head(path), reader.get(path)
        assert head.status_code == 200
        assert head.data == b""
        if path not in ("/health",):
            assert head.headers["Content-Length"] == str(len(get.data))
        assert "GET" in reader.options(path).headers["Allow"]
    assert "POST" in reader.options("/orders/1/status").headers["Allow"]


def test_a_decimal_price_keeps_its_trailing_zero(reader: FlaskClient) -> None:
    page = reader.get("/orders/stream?page_size=1000").text
    prices = re.findall(r'"o_totalprice":([^,]*),', page)
    assert len(prices) == 1000
    assert all(re.fullmatch(r"\d+\.\d\d", price) for price in prices)
    assert any(price.endswith("0") for price in prices)
    assert all(Decimal(price) > 0 for price in prices)


def test_a_chunked_body_that_is_too_large_is_refused_and_changes_nothing(client: FlaskClient) -> None:
    before = etag_of(client, 1)
    body = b'{"o_orderstatus": "F"}' + b" " * 70_000
    answer = client.post(
        "/orders/1/status",
        input_stream=BytesIO(body),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 413
    assert (etag_of(client, 1), changes_of(client, 1)) == (before, [])


def test_a_precondition_that_a_read_does_not_know_is_ignored(reader: FlaskClient) -> None:
    assert reader.get("/orders/1", headers={"If-Match": '"other"'}).status_code == 200
    assert reader.get("/orders/1", headers={"If-None-Match": "*"}).status_code == 304
