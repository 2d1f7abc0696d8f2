"""Which fields of orders are shown."""

import pytest
from flask.testing import FlaskClient

from tests.orders.changing import assert_problem, read
from tests.orders.varied import COLUMNS

LISTS = ("/orders/pages?page_size=3", "/orders/stream?page_size=3", "/orders?keys=6,3")
READS = (*LISTS, "/orders/3?")
CHOICES = [
    ("o_orderkey",),
    ("o_comment",),
    ("o_orderstatus",),
    ("o_clerk", "o_orderkey", "o_totalprice"),
    COLUMNS[::-1],
    COLUMNS,
]


def rows(client: FlaskClient, path: str) -> list[list[tuple[str, object]]]:
    """Names and values of the orders, as they come."""
    body = read(client, path)
    return [list(order.items()) for order in body.get("orders", [body])]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("fields", CHOICES, ids=str)
def test_the_fields_asked_for_are_shown_in_that_order(
    lister: FlaskClient, path: str, fields: tuple[str, ...]
) -> None:
    whole = [dict(row) for row in rows(lister, path)]
    expected = [[(name, row[name]) for name in fields] for row in whole]
    assert rows(lister, f"{path}&fields={','.join(fields)}") == expected


@pytest.mark.parametrize("path", READS)
def test_all_fields_are_shown_where_none_are_asked_for(lister: FlaskClient, path: str) -> None:
    for row in rows(lister, path):
        assert tuple(name for name, _ in row) == COLUMNS


@pytest.mark.parametrize("path", LISTS)
def test_tables_have_the_columns_asked_for_in_that_order(lister: FlaskClient, path: str) -> None:
    answer = lister.get(f"{path}&fields=o_custkey,o_orderkey", headers={"Accept": "text/csv"})
    lines = answer.text.splitlines()
    assert lines[0] == "o_custkey,o_orderkey"
    assert sorted(lines[1:])[:2] == ["1,3", "2,6"]


@pytest.mark.parametrize("sort", ["-o_totalprice", "o_orderstatus,-o_comment", "-o_orderkey"])
@pytest.mark.parametrize("path", ["/orders/pages", "/orders/stream"])
def test_a_list_can_be_sorted_and_walked_by_what_is_not_shown(
    lister: FlaskClient, path: str, sort: str
) -> None:
    shown = f"{path}?sort={sort}&page_size=9&page=2" if "pages" in path else f"{path}?sort={sort}&page_size=9"
    whole = read(lister, shown)
    few = read(lister, f"{shown}&fields=o_clerk")
    assert few["pagination"] == whole["pagination"]
    assert few["orders"] == [{"o_clerk": order["o_clerk"]} for order in whole["orders"]]


def test_a_filter_need_not_be_shown(lister: FlaskClient) -> None:
    found = read(lister, "/orders/stream?o_orderstatus=P&fields=o_orderkey&page_size=1")
    assert found["orders"] == [{"o_orderkey": 3}]


def test_the_etag_is_that_of_the_whole_order(lister: FlaskClient) -> None:
    whole = lister.get("/orders/3")
    few = lister.get("/orders/3?fields=o_clerk")
    assert few.headers["ETag"] == whole.headers["ETag"]
    for path in ("/orders/3", "/orders/3?fields=o_clerk"):
        again = lister.get(path, headers={"If-None-Match": few.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == whole.headers["ETag"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "fields",
    [
        "",
        ",",
        "o_clerk,",
        "o_clerk,,o_custkey",
        "o_clerk,%20o_custkey",
        "-o_clerk",
        "clerk",
        "O_CLERK",
        "*",
        "o_clerk%00",
        "o_clerk,o_clerk",
    ],
)
def test_fields_that_are_none_are_refused_by_name(lister: FlaskClient, path: str, fields: str) -> None:
    body = assert_problem(lister.get(f"{path}&fields={fields}"), 422, "invalid-request")
    assert [(item["in"], item["name"]) for item in body["errors"]] == [("query", "fields")]


def test_a_parameter_beside_fields_is_refused_by_name(lister: FlaskClient) -> None:
    for query in ("field=o_clerk", "fields=o_clerk&field=o_clerk"):
        body = assert_problem(lister.get(f"/orders/3?{query}"), 422, "invalid-request")
        assert body["errors"] == [
            {"in": "query", "name": "field", "detail": "Unknown field. Did you mean fields?"}
        ]
