"""Whatever happens in whatever order: each order shows the last change accepted, and why."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from lakebase_api.app import get_service
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.conftest import ROLE, OrdersDatabase, clone_database, make_app
from tests.fault_proxy import FaultProxy
from tests.orders.changing import (
    changes_of,
    etag_of,
    held_change,
    patch_status,
    set_status,
    set_statuses,
    status_of,
    wait_for_waiting,
    withdraw,
)
from tests.orders.status_model import Expected, Form, Model, Request, Seen
from tests.orders.status_steps import KEYS, STEPS, Change, Fate, Precondition, Repeat, Step, Sync
from tests.waiting import wait_until

# hypothesis looks whether strategies draw random numbers on their own: threads of the app do meanwhile.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

TABLE = "few"
EXAMPLES = 40
BEGIN_AGAIN = """
TRUNCATE lakebase_api.orders_changes, lakebase_api.orders_history, lakebase_api.idempotency, few;
INSERT INTO few (o_orderkey, o_orderstatus) VALUES (1, 'O'), (2, 'O'), (3, 'O')
"""
REPLACE = f"""
CREATE TABLE other (LIKE few INCLUDING ALL);
GRANT SELECT ON other TO {ROLE};
{{}}
DROP TABLE few;
ALTER TABLE other RENAME TO few
"""
MADE = "SELECT count(*) FROM lakebase_api.orders_history WHERE o_orderkey = {}"


class Shop:
    """Two workers, the first behind a proxy, and the model of what they promise."""

    def __init__(self, database: OrdersDatabase, proxy: FaultProxy, workers: list[FlaskClient]) -> None:
        self._database = database
        self._proxy = proxy
        self._workers = workers
        self.begin_again()

    def begin_again(self) -> None:
        self._database.execute(BEGIN_AGAIN)
        self._model = Model(KEYS)
        self._etags: dict[tuple[int, Seen], str] = {}
        self._sent: list[Request] = []

    def take(self, step: Step) -> None:
        """Do it, and hold the answers against those of the model."""
        match step:
            case Sync():
                self._sync(step)
            case Repeat() if self._sent:
                self._ask(self._sent[step.which % len(self._sent)], step.worker)
            case Change():
                self._change(step)

    def check(self) -> None:
        """Hold what is shown against the model."""
        for key, order in self._model.orders.items():
            for worker in self._workers:
                if order.is_there:
                    assert status_of(worker, key) == order.shown
                    assert self._note_etag(key) == etag_of(worker, key)
                assert worker.get(f"/orders/{key}").status_code == (200 if order.is_there else 404)
                if order.is_there or order.history:
                    assert changes_of(worker, key) == order.history[::-1]
        # Orders that show the same after as many changes have one ETag, and others another.
        assert len(set(self._etags.values())) == len(self._etags)

    def _sync(self, step: Sync) -> None:
        self._model.sync(step.statuses)
        there = {key: order.synced for key, order in self._model.orders.items() if order.is_there}
        rows = ", ".join(f"({key}, '{status}')" for key, status in there.items()) or "(0, 'O')"
        insert = f"INSERT INTO {{}} (o_orderkey, o_orderstatus) VALUES {rows};"
        if step.is_replaced:
            self._database.execute(REPLACE.format(insert.format("other")))
        else:
            self._database.execute(f"TRUNCATE few; {insert.format('few')}")

    def _change(self, step: Change) -> None:
        request = self._build(step)
        self._sent.append(request)
        if step.fate is Fate.CUT and (changed := self._model.predict(request)):
            self._cut(request, changed[0])
            # Who has no key, and was told that it may have been made, looks at the order instead.
            if not request.name:
                return
        elif step.fate is Fate.LOST:
            self._model.ask(request)
            self._send(request, step.worker)
        self._ask(request, 1 - step.worker)

    def _build(self, step: Change) -> Request:
        is_batch = step.form in (Form.BATCH, Form.LENIENT_BATCH)
        keys = list(step.statuses) if is_batch else list(step.statuses)[:1]
        items = ((key, None if step.form is Form.DELETE else step.statuses[key]) for key in keys)
        order = self._model.orders[keys[0]]
        seen: Seen | None = None
        if not is_batch and step.precondition is Precondition.CURRENT and order.is_there:
            seen = order.seen
            self._note_etag(keys[0])
        elif not is_batch and step.precondition is Precondition.EARLIER:
            seen = next((seen for key, seen in self._etags if key == keys[0]), None)
        return Request(step.form, tuple(items), seen, step.name)

    def _cut(self, request: Request, key: int) -> None:
        """Send it, and lose the worker's connection before the answer; the change is made."""
        version = len(self._model.orders[key].history) + 1
        with ThreadPoolExecutor(1) as threads:
            with held_change(self._database, key, version, TABLE):
                answer = threads.submit(self._send, request, 0)
                wait_for_waiting(self._database)
                self._proxy.cut()
            wait_until(lambda: self._database.execute(MADE.format(key)) == [(version,)])
            assert answer.result().status_code in ((200, 409) if request.name else (503,))
        self._model.ask(request)

    def _ask(self, request: Request, worker: int) -> None:
        expected = self._model.ask(request)
        answer = self._send(request, worker)
        assert Expected(answer.status_code, "Idempotent-Replayed" in answer.headers) == expected, answer.text

    def _send(self, request: Request, worker: int) -> TestResponse:
        client = self._workers[worker]
        [(key, wanted), *_] = request.items
        headers = {"Idempotency-Key": f'"{request.name}"'} if request.name else {}
        if request.seen:
            headers["If-Match"] = self._etags[key, request.seen]
        match request.form:
            case Form.POST:
                return set_status(client, key, str(wanted), headers)
            case Form.PATCH:
                return patch_status(client, key, str(wanted), headers)
            case Form.DELETE:
                return withdraw(client, key, headers)
            case _:
                items = [{"o_orderkey": key, "o_orderstatus": status} for key, status in request.items]
                query = "?atomic=false" if request.form is Form.LENIENT_BATCH else ""
                return set_statuses(client, items, query, headers)

    def _note_etag(self, key: int) -> str:
        """The order's ETag, which is what it was when the order was the same."""
        etag = etag_of(self._workers[1], key)
        assert self._etags.setdefault((key, self._model.orders[key].seen), etag) == etag
        return etag


@pytest.fixture(scope="module")
def shop(server: EmbeddedPostgres) -> Iterator[Shop]:
    """Two apps on a table of three orders."""
    database = clone_database(server, "orders_properties")
    database.execute("CREATE TABLE few (LIKE orders_synced INCLUDING ALL)")
    database.execute(f"GRANT SELECT ON few TO {ROLE}; INSERT INTO few (o_orderkey) VALUES (1)")
    with FaultProxy(database.server.port) as proxy, ExitStack() as stack:
        workers = []
        for port in (proxy.port, database.server.port):
            # One connection each: another that is cut while it idles would end the next change.
            one = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DEFAULT_POSTGRES_TABLE": TABLE}
            environment = {**database.environment, **one, "PGPORT": str(port)}
            app = make_app(environment)
            get_service(app).open()
            stack.callback(get_service(app).close)
            workers.append(app.test_client())
        assert set_status(workers[0], 1, "F").status_code == 200  # makes the tables
        yield Shop(database, proxy, workers)


# The same examples each time: a run that looks for new ones belongs elsewhere.
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # the machine may be busy
)
@given(steps=st.lists(STEPS, min_size=8, max_size=20))
def test_each_order_shows_the_last_change_accepted_and_its_history_explains_it(
    shop: Shop, steps: list[Step]
) -> None:
    shop.begin_again()
    for step in steps:
        shop.take(step)
    shop.check()
