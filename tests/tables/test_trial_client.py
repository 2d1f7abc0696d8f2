"""What a typed client can do with several tables that is generated from their document."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.tables.trial import CUSTOMERS, DECLARED, EVENTS, LINEITEMS
from tests.test_generated_client import GeneratedClient, generate_client

pytestmark = pytest.mark.slow

PACKAGE = "generated_trial_client"


@pytest.fixture
def generated(
    trial_database: OrdersDatabase,
    start_gunicorn: Callable[[dict[str, str]], GunicornProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> GeneratedClient:
    """A client generated from the document of a service of four tables."""
    declared = tmp_path / "tables.toml"
    declared.write_text(DECLARED)
    gunicorn = start_gunicorn({**trial_database.environment, "TABLES_FILE": str(declared)})
    url = gunicorn.wait_until_started().url
    generate_client(url, tmp_path, PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    return GeneratedClient(url, PACKAGE)


def walk(generated: GeneratedClient, name: str, **query: Any) -> list[Any]:
    """All rows of a list, page by page."""
    rows: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = generated.ask(f"{name}.stream_{name}", page_size=20, **cursor, **query)
        rows += getattr(page, name)
        if page.pagination.next_cursor is None:
            return rows
        cursor = {"cursor": str(page.pagination.next_cursor)}


def test_a_generated_client_lists_filters_and_pages_each_table(generated: GeneratedClient) -> None:
    with generated.instance:
        for name, size in (("customers", CUSTOMERS), ("events", EVENTS), ("lineitems", LINEITEMS)):
            assert len(walk(generated, name)) == size
        page = generated.ask("customers.list_customer_pages", page=2, page_size=100)
        assert (len(page.customers), page.pagination.total_count) == (CUSTOMERS - 100, CUSTOMERS)
        segment = generated.models.StreamCustomersCMktsegmentItem.BUILDING
        chosen = walk(generated, "customers", c_mktsegment=[segment], sort="-c_custkey")
        keys = [customer.c_custkey for customer in chosen]
        assert len(keys) > 20
        assert keys == sorted(keys, reverse=True)
        assert {customer.c_mktsegment for customer in chosen} == {"BUILDING"}
        [line, *_] = walk(generated, "lineitems", l_orderkey=[3])
        assert generated.ask("lineitems.get_lineitem", line.l_orderkey, line.l_linenumber) == line
        tagged = walk(generated, "events", tags_contains=["a", "d1"], ok=["true"])
        assert tagged
        assert all({"a", "d1"} <= set(event.tags) and event.ok for event in tagged)


def test_a_generated_client_changes_two_tables(generated: GeneratedClient) -> None:
    models = generated.models
    with generated.instance:
        update = models.CustomerSegmentUpdate(c_mktsegment="HOUSEHOLD")
        changed = generated.ask("customers.update_customer_segment", 7, body=update)
        assert (changed.c_custkey, changed.c_mktsegment) == (7, "HOUSEHOLD")
        assert generated.ask("customers.get_customer", 7).c_mktsegment == "HOUSEHOLD"
        [newest] = generated.ask("customers.get_customer_history", 7).changes
        assert (newest.column, newest.new) == ("c_mktsegment", "HOUSEHOLD")
        new_status = models.StatusUpdate(o_orderstatus=models.StatusUpdateOOrderstatus.P)
        assert generated.ask("orders.update_order_status", 7, body=new_status).o_orderstatus == "P"
