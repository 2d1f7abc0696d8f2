"""The floor: the smallest WSGI function with the queries, the pool and the gunicorn settings of the service.

gunicorn reads this module as its configuration, and serves ``app`` out of it. No validation, no ids, no
headers, no log, no problems: what an answer costs at the least in this language, with these libraries.
"""

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

import msgspec
from psycopg_pool import ConnectionPool

from lakebase_api.server.processors import pin
from lakebase_api.settings import Settings

defaults = Settings()
bind = os.environ.get("BIND", "127.0.0.1:8000")
worker_class = "gthread"
threads = defaults.threads
keepalive = 75
preload_app = True
control_socket_disable = True
errorlog = "-"

# Each as the service sends it, without what it adds for changed orders.
COLUMNS = (
    "o_orderkey",
    "o_custkey",
    "o_orderstatus",
    "o_totalprice",
    "o_orderdate",
    "o_orderpriority",
    "o_clerk",
    "o_shippriority",
    "o_comment",
)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM public.orders_synced"
FETCH = f"{SELECT} WHERE o_orderkey = %s"
FETCH_AFTER = f"{SELECT} WHERE o_orderkey > %s ORDER BY o_orderkey LIMIT %s"
FIND_BEFORE = """
SELECT count(*), min(o_orderkey) FROM (
    SELECT o_orderkey FROM public.orders_synced WHERE o_orderkey <= %s ORDER BY o_orderkey DESC LIMIT %s
) AS before
"""
UPDATE_STATUS = (
    "UPDATE public.orders_synced SET o_orderstatus = %s WHERE o_orderkey = %s "
    "RETURNING o_orderkey, o_orderstatus"
)

encode = msgspec.json.Encoder(decimal_format="number").encode
decode = msgspec.json.Decoder().decode
pool = ConnectionPool(
    min_size=defaults.pool_size,
    max_size=defaults.pool_size + defaults.pool_max_overflow,
    kwargs={"autocommit": True},
    open=False,
)


def post_fork(server: Any, worker: Any) -> None:
    pin(worker.age)


def post_worker_init(worker: Any) -> None:
    pool.open()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        body = encode(update_status(environ))
    elif environ["PATH_INFO"] == "/orders/stream":
        body = encode(stream_orders(environ))
    else:
        body = encode(get_order(environ))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def get_order(environ: WSGIEnvironment) -> dict[str, Any]:
    key = int(environ["PATH_INFO"].removeprefix("/orders/"))
    with pool.connection() as connection:
        [row] = connection.execute(FETCH, (key,)).fetchall()
    return dict(zip(COLUMNS, row, strict=True))


def stream_orders(environ: WSGIEnvironment) -> dict[str, Any]:
    query = parse_qs(environ["QUERY_STRING"])
    cursor, size = int(query["cursor"][0]), int(query["page_size"][0])
    with pool.connection() as connection:
        rows = connection.execute(FETCH_AFTER, (cursor, size + 1)).fetchall()
        [(before, lowest)] = connection.execute(FIND_BEFORE, (cursor, size + 1)).fetchall()
    has_next = len(rows) > size
    pagination = {
        "page_size": size,
        "has_next": has_next,
        "has_previous": before > 0,
        "next_cursor": rows[size - 1][0] if has_next else None,
        "previous_cursor": (lowest if before > size else 0) if before else None,
    }
    return {"orders": [dict(zip(COLUMNS, row, strict=True)) for row in rows[:size]], "pagination": pagination}


def update_status(environ: WSGIEnvironment) -> dict[str, Any]:
    key = int(environ["PATH_INFO"].split("/")[2])
    status = decode(environ["wsgi.input"].read())["o_orderstatus"]
    with pool.connection() as connection:
        [(stored_key, stored)] = connection.execute(UPDATE_STATUS, (status, key)).fetchall()
    message = "Order status updated successfully"
    return {"o_orderkey": stored_key, "o_orderstatus": stored, "message": message}
