"""What a typed client can do that is generated from the document."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ORDERS, OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

# It would run ruff to make the code handsome.
CONFIGURATION = "post_hooks: []"
PACKAGE = "generated_orders_client"


class GeneratedClient:
    """The package of a client, and an instance for the running service."""

    def __init__(self, url: str, package: str = PACKAGE) -> None:
        self._package = package
        self.models = self._load("models")
        self.instance = self._load("client").Client(
            base_url=url, raise_on_unexpected_status=True, httpx_args={"trust_env": False}
        )

    def ask(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """The answer to an operation, such as ``lists.stream_orders``, as an object of its type."""
        return self._load(f"api.{operation}").sync(*arguments, client=self.instance, **options)

    def _load(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self._package}.{name}")


def generate_client(url: str, folder: Path, package: str = PACKAGE) -> None:
    """Generate the package. Raises ``CalledProcessError`` if the generator warns: it drops what it cannot."""
    (folder / "generator.yml").write_text(CONFIGURATION)
    generator = Path(sys.executable).with_name("openapi-python-client")
    source = ["--url", f"{url}/openapi.json", "--config", "generator.yml"]
    target = ["--meta", "none", "--output-path", package, "--fail-on-warning"]
    subprocess.run([generator, "generate", *source, *target], cwd=folder, check=True, timeout=PATIENCE)


@pytest.fixture
def generated(
    database: OrdersDatabase,
    start_gunicorn: Callable[[dict[str, str]], GunicornProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[GeneratedClient]:
    """A client generated from the document of the service that it asks."""
    url = start_gunicorn(database.environment).wait_until_started().url
    generate_client(url, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    client = GeneratedClient(url)
    with client.instance:
        yield client


def walk(generated: GeneratedClient, page_size: int, **query: Any) -> list[Any]:
    """All orders of a list, page by page."""
    orders: list[Any] = []
    cursor: int | str | None = 0
    while cursor is not None:
        page = generated.ask("orders.stream_orders", cursor=cursor, page_size=page_size, **query)
        orders += page.orders
        assert (page.links.next_ is None) == (page.pagination.next_cursor is None)
        cursor = page.pagination.next_cursor
    return orders


def test_a_generated_client_can_use_the_service(generated: GeneratedClient) -> None:
    models = generated.models

    by_key = walk(generated, 1000)
    keys = [order.o_orderkey for order in by_key]
    assert keys == sorted(set(keys))
    assert len(keys) == ORDERS == generated.ask("orders.count_orders").total_orders

    status = models.StreamOrdersOOrderstatusItem
    wanted: dict[str, Any] = {
        "o_orderstatus": [status.F, status.P],
        "o_orderpriority": ["5-LOW", "1-URGENT"],
        "o_orderdate_from": date(1995, 1, 1),
        "o_totalprice_min": "100000.50",
    }
    sorted_orders = walk(generated, 50, sort="-o_totalprice,o_clerk", **wanted)
    assert len(sorted_orders) > 100
    assert sorted_orders == sorted(
        (
            order
            for order in by_key
            if order.o_orderstatus in "FP"
            and order.o_orderpriority in wanted["o_orderpriority"]
            and order.o_orderdate >= date(1995, 1, 1)
            and order.o_totalprice >= 100000.5
        ),
        key=lambda order: (-order.o_totalprice, order.o_clerk, order.o_orderkey),
    )
    page = generated.ask("orders.list_order_pages", page=2, page_size=10, sort="-o_orderdate")
    assert (page.pagination.page, page.pagination.total_count) == (2, ORDERS)

    first = by_key[0]
    assert generated.ask("orders.get_order", first.o_orderkey) == first
    several = generated.ask("orders.get_orders", keys=f"7,8,{first.o_orderkey}")
    assert [order.o_orderkey for order in several.orders] == [7, first.o_orderkey]
    assert several.missing == [8]
    shown = generated.ask("orders.get_order", first.o_orderkey, fields="o_clerk")
    assert shown.to_dict() == {"o_clerk": first.o_clerk}

    new_status = models.StatusUpdateOOrderstatus.P
    update = models.StatusUpdate(o_orderstatus=new_status)
    named = {"idempotency_key": '"generated"'}
    changed = generated.ask("orders.update_order_status", first.o_orderkey, body=update, **named)
    assert (changed.o_orderkey, changed.o_orderstatus) == (first.o_orderkey, "P")
    assert generated.ask("orders.get_order", first.o_orderkey).o_orderstatus == "P"
    item = models.BatchItem(o_orderkey=7, o_orderstatus=models.BatchItemOOrderstatus.F)
    assert generated.ask("orders.update_order_statuses", body=[item]).results[0].o_orderstatus == "F"

    problem = generated.ask("orders.stream_orders", sort="o_price", page_size=0)
    assert isinstance(problem, models.Problem)
    assert (problem.type_, problem.status) == ("/problems/invalid-request", 422)
    assert {error.name for error in problem.errors} == {"sort", "page_size"}
    unknown = generated.ask("orders.get_order", 8)
    assert isinstance(unknown, models.Problem)
    assert unknown.type_ == "/problems/order-not-found"
