import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./generated/schema";

const options = { baseUrl: process.env.API_URL };
// Lists have other forms as well.
const { GET, POST, PATCH, DELETE } = createClient<paths, "application/json">(options);
const files = createClient<paths, "text/csv">(options);

async function main(): Promise<void> {
  const first = await GET("/orders/stream", { params: { query: { page_size: 3 } } });
  assert.equal(first.response.status, 200);
  assert.equal(first.data?.orders.length, 3);
  const key = first.data.orders[2].o_orderkey!;
  assert.equal(first.data.pagination.next_cursor, key);

  const second = await GET("/orders/stream", { params: { query: { page_size: 3, cursor: String(key) } } });
  assert.equal(second.response.status, 200);
  assert(second.data!.orders[0].o_orderkey! > key);

  const page = await GET("/orders/pages", { params: { query: { page: 2, page_size: 3 } } });
  assert.equal(page.response.status, 200);
  assert.deepEqual(page.data?.orders, second.data?.orders);
  assert.equal(page.data?.pagination.total_count, (await GET("/orders/count")).data?.total_orders);

  const statuses: ("F" | "P")[] = ["F", "P"];
  const wanted = { o_orderstatus: statuses, o_totalprice_min: "100000.50", sort: "-o_totalprice" };
  const chosen = await GET("/orders/stream", { params: { query: wanted } });
  assert.equal(chosen.response.status, 200);
  assert(chosen.data!.orders.every((order) => "FP".includes(order.o_orderstatus!) && Number(order.o_totalprice) > 1e5));
  const cursor = String(chosen.data!.pagination.next_cursor);
  const further = await GET("/orders/stream", { params: { query: { ...wanted, cursor } } });
  assert.equal(further.response.status, 200);

  const several = await GET("/orders", { params: { query: { keys: `${key},8` } } });
  assert.equal(several.response.status, 200);
  assert.deepEqual(several.data?.missing, [8]);
  const one = await GET("/orders/{order_key}", { params: { path: { order_key: key } } });
  assert.equal(one.response.status, 200);
  assert.deepEqual(one.data, first.data.orders[2]);

  const order = { path: { order_key: key } };
  const changed = await POST("/orders/{order_key}/status", { params: order, body: { o_orderstatus: "P" } });
  assert.equal(changed.response.status, 200);
  assert.equal(changed.data?.o_orderstatus, "P");
  // openapi-fetch sends JSON as application/json, whatever the document says.
  const headers = { "Content-Type": "application/merge-patch+json" };
  const patched = await PATCH("/orders/{order_key}", { params: order, body: { o_orderstatus: "F" }, headers });
  assert.equal(patched.response.status, 200);
  const batch = await POST("/orders/status", { body: [{ o_orderkey: key, o_orderstatus: "P" }] });
  assert.equal(batch.response.status, 200);
  assert.equal(batch.data?.results[0].o_orderstatus, "P");
  const history = await GET("/orders/{order_key}/history", { params: order });
  assert.equal(history.response.status, 200);
  assert.equal(history.data?.changes[0].new_status, "P");
  assert.equal((await DELETE("/orders/{order_key}/status", { params: order })).response.status, 200);

  await useOtherTables();

  const keys = { query: { fields: "o_orderkey" } };
  const exported = await files.GET("/orders/export", { params: keys, parseAs: "text" });
  assert.equal(exported.response.status, 200);
  assert.equal(exported.data!.trim().split("\n").length - 1, page.data?.pagination.total_count);
}

/** Tables of other columns and keys, in the same way. */
async function useOtherTables(): Promise<void> {
  const segments: ("BUILDING" | "MACHINERY")[] = ["BUILDING", "MACHINERY"];
  const wanted = { c_mktsegment: segments, c_acctbal_min: "10.50", sort: "-c_acctbal", page_size: 3 };
  const customers = await GET("/customers/stream", { params: { query: wanted } });
  assert.equal(customers.response.status, 200);
  assert.equal(customers.data?.customers.length, 3);
  assert(customers.data.customers.every((customer) => Number(customer.c_acctbal) >= 10.5));
  const cursor = String(customers.data.pagination.next_cursor);
  const further = await GET("/customers/stream", { params: { query: { ...wanted, cursor } } });
  assert.equal(further.response.status, 200);
  const page = await GET("/customers/pages", { params: { query: { page_size: 3 } } });
  assert.equal(page.data?.pagination.total_count, (await GET("/customers/count")).data?.total_customers);

  const customer = { path: { customer_key: customers.data.customers[0].c_custkey! } };
  const body = { c_mktsegment: "HOUSEHOLD" as const };
  const changed = await POST("/customers/{customer_key}/segment", { params: customer, body });
  assert.equal(changed.response.status, 200);
  assert.equal(changed.data?.c_mktsegment, "HOUSEHOLD");
  const history = await GET("/customers/{customer_key}/history", { params: customer });
  assert.equal(history.data?.changes[0].new, "HOUSEHOLD");

  const lines = await GET("/lineitems/stream", { params: { query: { page_size: 2, l_shipdate_from: "1996-01-01" } } });
  assert.equal(lines.response.status, 200);
  const { l_orderkey, l_linenumber } = lines.data!.lineitems[1];
  const line = { path: { l_orderkey: l_orderkey!, l_linenumber: l_linenumber! } };
  const one = await GET("/lineitems/{l_orderkey}/{l_linenumber}", { params: line });
  assert.deepEqual(one.data, lines.data!.lineitems[1]);
}

main();
