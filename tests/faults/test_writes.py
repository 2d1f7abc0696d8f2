"""What becomes of a write whose connection dies, or whose node is no longer the primary."""

from concurrent.futures import ThreadPoolExecutor

from tests.conftest import ROLE, OrdersDatabase
from tests.fault_proxy import FaultProxy
from tests.faults.service import (
    DEMOTE,
    ONE_CONNECTION,
    SESSIONS,
    WAITING,
    AppStarter,
    assert_retryable,
    locked,
    set_status,
)

BUSY = f"SELECT count(*) {SESSIONS} AND state = 'active'"
DIRECT = {"STATUS_WRITES": "direct"}
# Counts the updates that were made, whoever was told what.
COUNT_UPDATES = f"""
GRANT UPDATE ON orders_synced TO {ROLE};
CREATE TABLE made (order_key bigint);
CREATE FUNCTION note_update() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.made VALUES (NEW.o_orderkey); RETURN NEW; END';
CREATE TRIGGER note_update AFTER UPDATE ON orders_synced FOR EACH ROW EXECUTE FUNCTION note_update()
"""
MADE = "SELECT count(*) FROM made"


def test_a_write_that_may_have_been_made_is_not_repeated_and_says_so(
    database: OrdersDatabase, proxy: FaultProxy, start: AppStarter
) -> None:
    database.execute(COUNT_UPDATES)
    gunicorn = start(**DIRECT)
    # The status it has: nothing changes, but the tables of changes are there from now on.
    assert set_status(gunicorn, "O").status_code == 200
    with locked(database, "EXCLUSIVE"), ThreadPoolExecutor(1) as threads:
        answer = threads.submit(set_status, gunicorn, "F")
        gunicorn.wait_until(lambda: database.execute(WAITING) == [(1,)])
        proxy.cut()
        assert_retryable(answer.result(), "outcome-unknown")
    gunicorn.wait_until(lambda: database.execute(BUSY) == [(0,)])
    assert database.execute(MADE) == [(1,)]


def test_a_write_that_finds_its_connection_dead_is_made_once(
    database: OrdersDatabase, proxy: FaultProxy, start: AppStarter
) -> None:
    database.execute(COUNT_UPDATES)
    gunicorn = start(**DIRECT)
    assert gunicorn.get("/orders/1").status_code == 200
    proxy.cut()
    answer = set_status(gunicorn, "F")
    assert answer.status_code == 200, answer.text + gunicorn.output
    assert database.execute(MADE) == [(1,)]


def test_a_write_on_a_demoted_node_is_answered_503_and_the_next_reaches_the_new_primary(
    database: OrdersDatabase, start: AppStarter
) -> None:
    gunicorn = start(**ONE_CONNECTION)
    assert set_status(gunicorn, "F").status_code == 200
    database.execute(DEMOTE)
    assert_retryable(set_status(gunicorn, "P"), "database-unavailable")
    assert set_status(gunicorn, "P").status_code == 200
