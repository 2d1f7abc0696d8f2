"""Stands in for the API: answers when PostgreSQL does, and shows what it was told."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

if "STUB_FAILS" in os.environ:
    raise RuntimeError(os.environ["STUB_FAILS"])


def app(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """The number of orders, who asked for it, and the environment."""
    with psycopg.connect("") as connection:
        row = connection.execute("SELECT count(*), current_user FROM public.orders_synced").fetchone()
    assert row is not None
    start_response("200 OK", [("Content-Type", "text/plain")])
    lines = [f"{row[0]} orders for {row[1]}", *(f"{name}={value}" for name, value in os.environ.items())]
    return ["\n".join(lines).encode()]
