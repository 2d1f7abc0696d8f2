import assert from "node:assert/strict";
import * as api from "./generated/fetch";
import * as schemas from "./generated/zod";

type Json<T extends { data: unknown }> = Exclude<Extract<T, { status: 200 }>["data"], string>;

/** The answer, which must be of status 200, and be JSON. */
function ok<T extends { status: number; data: unknown }>(answer: T): Json<T> {
  assert.equal(answer.status, 200);
  assert.equal(typeof answer.data, "object");
  return answer.data as Json<T>;
}

async function main(): Promise<void> {
  const first = ok(await api.streamOrders(schemas.StreamOrdersQueryParams.parse({ page_size: 3 })));
  schemas.StreamOrdersResponse.parse(first);
  const key = first.orders[2].o_orderkey!;
  assert.equal(first.pagination.next_cursor, key);

  const cursor = String(first.pagination.next_cursor);
  const second = ok(await api.streamOrders(schemas.StreamOrdersQueryParams.parse({ page_size: 3, cursor })));
  assert(second.orders[0].o_orderkey! > key);

  const page = ok(await api.listOrderPages(schemas.ListOrderPagesQueryParams.parse({ page: 2, page_size: 3 })));
  schemas.ListOrderPagesResponse.parse(page);
  assert.deepEqual(page.orders, second.orders);
  const count = ok(await api.countOrders());
  schemas.CountOrdersResponse.parse(count);
  assert.equal(page.pagination.total_count, count.total_orders);

  const wanted = schemas.StreamOrdersQueryParams.parse({
    o_orderstatus: ["F", "P"],
    o_orderpriority: ["1-URGENT", "5-LOW"],
    o_orderdate_from: "1995-01-01",
    o_totalprice_min: "100000.50",
    sort: "-o_totalprice",
  });
  const chosen = ok(await api.streamOrders(wanted));
  assert(chosen.orders.every((order) => "FP".includes(order.o_orderstatus!) && Number(order.o_totalprice) > 1e5));
  ok(await api.streamOrders({ ...wanted, cursor: String(chosen.pagination.next_cursor) }));

  const several = ok(await api.getOrders(schemas.GetOrdersQueryParams.parse({ keys: `${key},8` })));
  schemas.GetOrdersResponse.parse(several);
  assert.deepEqual(several.missing, [8]);
  const one = ok(await api.getOrder(key));
  schemas.GetOrderResponse.parse(one);
  assert.deepEqual(one, first.orders[2]);
  schemas.SampleOrdersResponse.parse(ok(await api.sampleOrders()));

  const changed = ok(await api.updateOrderStatus(key, schemas.UpdateOrderStatusBody.parse({ o_orderstatus: "P" })));
  schemas.UpdateOrderStatusResponse.parse(changed);
  assert.equal(changed.o_orderstatus, "P");
  ok(await api.patchOrder(key, { o_orderstatus: "F" }));
  const batch = ok(await api.updateOrderStatuses([{ o_orderkey: key, o_orderstatus: "P" }]));
  schemas.UpdateOrderStatusesResponse.parse(batch);
  const history = ok(await api.getOrderHistory(key));
  schemas.GetOrderHistoryResponse.parse(history);
  assert.equal(history.changes[0].new_status, "P");
  ok(await api.withdrawOrderStatus(key));

  const exported = await api.exportOrders({ fields: "o_orderkey" });
  assert.equal(exported.status, 200);
  assert.equal((exported.data as string).trim().split("\n").length - 1, count.total_orders);
}

main();
