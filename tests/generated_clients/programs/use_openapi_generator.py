"""Use the Python client of openapi-generator on the service whose URL is the argument."""

import sys
from decimal import Decimal
from typing import Any

import openapi_client as generated


def ok(answer: Any) -> Any:
    """The data of an answer, which must be of status 200."""
    assert answer.status_code == 200, answer.status_code
    return answer.data


client = generated.ApiClient(generated.Configuration(host=sys.argv[1]))
orders = generated.OrdersApi(client)

first = ok(orders.stream_orders_with_http_info(page_size=3))
key = first.orders[2].o_orderkey
cursor = str(first.pagination.next_cursor.actual_instance)
assert cursor == str(key)
second = ok(orders.stream_orders_with_http_info(page_size=3, cursor=cursor))
page = ok(orders.list_order_pages_with_http_info(page=2, page_size=3))
assert page.orders == second.orders
total = ok(orders.count_orders_with_http_info()).total_orders
assert page.pagination.total_count == total

wanted = {"o_orderstatus": ["F", "P"], "o_totalprice_min": "100000.50", "sort": "-o_totalprice"}
chosen = ok(orders.stream_orders_with_http_info(**wanted))
for order in chosen.orders:
    assert order.o_orderstatus in "FP"
    assert Decimal(str(order.o_totalprice.actual_instance)) >= Decimal("100000.50")
ok(orders.stream_orders_with_http_info(**wanted, cursor=chosen.pagination.next_cursor.actual_instance))
assert [
    missing.actual_instance for missing in ok(orders.get_orders_with_http_info(keys=f"{key},8")).missing
] == [8]
assert ok(orders.get_order_with_http_info(key)) == first.orders[2]
assert len(ok(orders.sample_orders_with_http_info()).sample_order_keys) == 5

changed = ok(orders.update_order_status_with_http_info(key, generated.StatusUpdate(o_orderstatus="P")))
assert changed.o_orderstatus == "P"
ok(orders.patch_order_with_http_info(key, generated.StatusUpdate(o_orderstatus="F")))
item = generated.BatchItem(o_orderkey=key, o_orderstatus="P")
assert ok(orders.update_order_statuses_with_http_info([item])).results[0].o_orderstatus == "P"
assert ok(orders.get_order_history_with_http_info(key)).changes[0].new_status == "P"
ok(orders.withdraw_order_status_with_http_info(key))

for options in ({}, {"format": "csv"}, {"format": "ndjson"}):
    data = ok(orders.export_orders_with_http_info(fields="o_orderkey", **options))
    assert len(data.splitlines()) == total + 1
