"""An Idempotency-Key while its first request runs, and when it gets old."""

from concurrent.futures import ThreadPoolExecutor

from flask.testing import FlaskClient

from tests.conftest import AppOpener, OrdersDatabase
from tests.orders.changing import (
    assert_problem,
    assert_replayed,
    changes_of,
    held_change,
    set_status,
    wait_for_waiting,
)

KEPT = "SELECT left(key, 1) FROM lakebase_api.idempotency WHERE key LIKE '{}' ORDER BY 1"
AGE = "UPDATE lakebase_api.idempotency SET created_at = created_at - interval '{}' WHERE key = '{}'"


def test_while_the_first_still_runs_another_with_its_key_is_refused_and_then_replayed(
    shared_database: OrdersDatabase,
    open_app: AppOpener,
    writer: FlaskClient,
    order_key: int,
    idempotency_key: dict[str, str],
) -> None:
    other = open_app(shared_database.environment).test_client()
    with ThreadPoolExecutor(1) as threads:
        with held_change(shared_database, order_key):
            answer = threads.submit(set_status, writer, order_key, "F", idempotency_key)
            wait_for_waiting(shared_database)
            running = set_status(other, order_key, "F", idempotency_key)
            assert_problem(running, 409, "still-running")
            assert int(running.headers["Retry-After"]) >= 1
        first = answer.result()
    assert_replayed(set_status(other, order_key, "F", idempotency_key), first)
    assert changes_of(writer, order_key) == [(1, "O", "F")]


def test_another_with_its_key_that_waits_a_moment_for_the_first_gets_its_answer(
    shared_database: OrdersDatabase,
    open_app: AppOpener,
    writer: FlaskClient,
    order_key: int,
    idempotency_key: dict[str, str],
) -> None:
    clients = [writer, *(open_app(shared_database.environment).test_client() for _ in range(3))]
    with ThreadPoolExecutor(len(clients)) as threads:
        with held_change(shared_database, order_key):
            asked = [
                threads.submit(set_status, client, order_key, "F", idempotency_key) for client in clients
            ]
            wait_for_waiting(shared_database)
        answers = [each.result() for each in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [False, True, True, True]
    assert len({answer.text for answer in answers}) == 1
    assert changes_of(writer, order_key) == [(1, "O", "F")]


def test_a_key_is_kept_for_24_hours(
    shared_database: OrdersDatabase, writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    first = set_status(writer, order_key, "F", idempotency_key)
    shared_database.execute(AGE.format("23:59", f"key-{order_key}"))
    assert_replayed(set_status(writer, order_key, "F", idempotency_key), first)
    shared_database.execute(AGE.format("0:01", f"key-{order_key}"))
    answer = set_status(writer, order_key, "P", idempotency_key)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers
    assert changes_of(writer, order_key) == [(2, "F", "P"), (1, "O", "F")]


def test_keys_that_were_kept_long_enough_are_removed_by_a_later_request_with_a_key(
    shared_database: OrdersDatabase, writer: FlaskClient, order_key: int, idempotency_key: dict[str, str]
) -> None:
    for status in ("F", "P", "O"):
        set_status(writer, order_key, status, {"Idempotency-Key": f'"{status}-{order_key}"'})
    for status in ("F", "P"):
        shared_database.execute(AGE.format("24 hours", f"{status}-{order_key}"))
    kept = KEPT.format(f"%-{order_key}")
    set_status(writer, order_key, "F")
    assert shared_database.execute(kept) == [("F",), ("O",), ("P",)]
    assert set_status(writer, order_key, "P", idempotency_key).status_code == 200
    assert shared_database.execute(kept) == [("O",), ("k",)]
