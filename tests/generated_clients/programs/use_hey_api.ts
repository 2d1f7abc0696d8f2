import assert from "node:assert/strict";
import * as api from "./generated";
import { client } from "./generated/client.gen";
import * as schemas from "./generated/zod.gen";

client.setConfig({ baseUrl: process.env.API_URL });

/** The answer, which must be of status 200, and be JSON. */
function ok<T>(answer: { data?: T; error?: unknown; response?: Response }): Exclude<T, string | void> {
  assert.equal(answer.response?.status, 200, JSON.stringify(answer.error));
  assert.equal(typeof answer.data, "object");
  return answer.data as Exclude<T, string | void>;
}

async function main(): Promise<void> {
  const first = ok(await api.streamOrders({ query: { page_size: 3 } }));
  schemas.zStream.parse(first);
  const key = first.orders[2].o_orderkey!;
  const cursor = String(first.pagination.next_cursor);
  assert.equal(cursor, String(key));

  const second = ok(await api.streamOrders({ query: { page_size: 3, cursor } }));
  assert(second.orders[0].o_orderkey! > key);

  const page = ok(await api.listOrderPages({ query: { page: 2, page_size: 3 } }));
  schemas.zPages.parse(page);
  assert.deepEqual(page.orders, second.orders);
  const count = ok(await api.countOrders());
  assert.equal(page.pagination.total_count, count.total_orders);

  const wanted = {
    o_orderstatus: ["F" as const, "P" as const],
    o_orderpriority: ["1-URGENT", "5-LOW"],
    o_orderdate_from: "1995-01-01",
    o_totalprice_min: "100000.50",
    sort: "-o_totalprice",
  };
  schemas.zStreamOrdersQuery.parse(wanted);
  const chosen = ok(await api.streamOrders({ query: wanted }));
  assert(chosen.orders.every((order) => "FP".includes(order.o_orderstatus!) && Number(order.o_totalprice) > 1e5));
  ok(await api.streamOrders({ query: { ...wanted, cursor: String(chosen.pagination.next_cursor) } }));

  const several = ok(await api.getOrders({ query: { keys: `${key},8` } }));
  assert.deepEqual(several.missing, [8]);
  const path = { order_key: key };
  const one = ok(await api.getOrder({ path }));
  schemas.zOrder.parse(one);
  assert.deepEqual(one, first.orders[2]);

  const changed = ok(await api.updateOrderStatus({ path, body: { o_orderstatus: "P" } }));
  assert.equal(changed.o_orderstatus, "P");
  ok(await api.patchOrder({ path, body: { o_orderstatus: "F" } }));
  const batch = ok(await api.updateOrderStatuses({ body: [{ o_orderkey: key, o_orderstatus: "P" }] }));
  assert.equal(batch.results[0].o_orderstatus, "P");
  const history = ok(await api.getOrderHistory({ path }));
  schemas.zHistory.parse(history);
  assert.equal(history.changes[0].new_status, "P");
  ok(await api.withdrawOrderStatus({ path }));

  await useOtherTables();

  const exported = await api.exportOrders({ query: { fields: "o_orderkey" }, parseAs: "blob" });
  assert.equal(exported.response?.status, 200);
  const text = await exported.data!.text();
  assert.equal(text.trim().split("\n").length - 1, count.total_orders);
}

/** Tables of other columns and keys, in the same way. */
async function useOtherTables(): Promise<void> {
  const wanted = {
    c_mktsegment: ["BUILDING" as const, "MACHINERY" as const],
    c_acctbal_min: "10.50",
    sort: "-c_acctbal",
    page_size: 3,
  };
  schemas.zStreamCustomersQuery.parse(wanted);
  const customers = ok(await api.streamCustomers({ query: wanted }));
  schemas.zCustomerStream.parse(customers);
  assert.equal(customers.customers.length, 3);
  ok(await api.streamCustomers({ query: { ...wanted, cursor: String(customers.pagination.next_cursor) } }));
  const page = ok(await api.listCustomerPages({ query: { page_size: 3 } }));
  assert.equal(page.pagination.total_count, ok(await api.countCustomers()).total_customers);

  const path = { customer_key: customers.customers[0].c_custkey! };
  const changed = ok(await api.updateCustomerSegment({ path, body: { c_mktsegment: "HOUSEHOLD" } }));
  assert.equal(changed.c_mktsegment, "HOUSEHOLD");
  const history = ok(await api.getCustomerHistory({ path }));
  assert.equal(history.changes[0].new, "HOUSEHOLD");

  const lines = ok(await api.streamLineitems({ query: { page_size: 2, l_shipdate_from: "1996-01-01" } }));
  const { l_orderkey, l_linenumber } = lines.lineitems[1];
  const line = ok(await api.getLineitem({ path: { l_orderkey: l_orderkey!, l_linenumber: l_linenumber! } }));
  schemas.zLineitem.parse(line);
  assert.deepEqual(line, lines.lineitems[1]);
}

main();
