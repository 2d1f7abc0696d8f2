"""What tests with faults ask of the service, and of its database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import requests

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.waiting import PATIENCE

AppStarter = Callable[..., GunicornProcess]

APP_NAME = "lakebase-orders-api"
SESSIONS = f"FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{APP_NAME}'"
WAITING = f"SELECT count(*) {SESSIONS} AND wait_event_type = 'Lock'"
# Of a node that is no longer the primary: sessions that are open by now cannot write any more.
DEMOTE = """
CREATE TABLE demoted AS SELECT clock_timestamp() AS at;
CREATE FUNCTION refuse_write() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT backend_start < at FROM pg_stat_activity, public.demoted WHERE pid = pg_backend_pid()) THEN
        RAISE SQLSTATE '25006';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_write BEFORE INSERT ON lakebase_api.orders_history
FOR EACH STATEMENT EXECUTE FUNCTION refuse_write()
"""
PROMOTE = "DROP FUNCTION refuse_write CASCADE; DROP TABLE demoted"
ONE_CONNECTION = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0"}


@contextmanager
def locked(database: OrdersDatabase, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """No statement on the orders gets on meanwhile; in mode EXCLUSIVE no update."""
    with psycopg.connect(database.server.conninfo(database.name)) as holder:
        holder.execute(f"LOCK TABLE orders_synced IN {mode} MODE".encode())
        yield
        holder.rollback()


def set_status(gunicorn: GunicornProcess, status: str) -> requests.Response:
    return gunicorn.session.post(
        f"{gunicorn.url}/orders/1/status", json={"o_orderstatus": status}, timeout=PATIENCE
    )


def assert_retryable(answer: requests.Response, kind: str) -> None:
    assert answer.status_code == 503
    assert answer.json()["type"] == f"/problems/{kind}"
    assert int(answer.headers["Retry-After"]) >= 1


def describe_parts(gunicorn: GunicornProcess) -> str:
    """What the readiness probe says is wrong."""
    parts: dict[str, str] = gunicorn.get("/readyz?verbose").json()["parts"]
    return "; ".join(f"{name}: {state}" for name, state in parts.items() if state != "ok")


def is_ready(gunicorn: GunicornProcess) -> bool:
    return gunicorn.get("/readyz").status_code == 200
