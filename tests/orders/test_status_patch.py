"""Changing an order by a merge patch, and answers without a body."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.orders.changing import (
    MERGE_PATCH,
    assert_problem,
    changes_of,
    etag_of,
    patch_status,
    set_status,
    set_statuses,
    status_of,
    withdraw,
)

MINIMAL = {"Prefer": "return=minimal"}


def test_a_merge_patch_changes_the_status_as_a_post_does(writer: FlaskClient, order_key: int) -> None:
    answer = patch_status(writer, order_key, "F")
    assert answer.status_code == 200
    assert answer.json == {
        "o_orderkey": order_key,
        "o_orderstatus": "F",
        "message": "Order status updated successfully",
    }
    assert answer.headers["ETag"] == etag_of(writer, order_key)
    assert (status_of(writer, order_key), changes_of(writer, order_key)) == ("F", [(1, "O", "F")])


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind"),
    [
        (b'{"o_orderstatus": "F", "o_comment": "new"}', MERGE_PATCH, 422, "invalid-request"),
        (b'{"o_comment": "new"}', MERGE_PATCH, 422, "invalid-request"),
        (b'{"o_orderstatus": null}', MERGE_PATCH, 422, "invalid-request"),
        (b'{"o_orderstatus": "X"}', MERGE_PATCH, 422, "invalid-request"),
        (b"{}", MERGE_PATCH, 422, "invalid-request"),
        (b'["F"]', MERGE_PATCH, 422, "invalid-request"),
        (b"{", MERGE_PATCH, 400, "malformed-request"),
        (b'{"o_orderstatus": "F"}', "application/json", 415, "unsupported-media-type"),
        (b'{"o_orderstatus": "F"}', "application/json-patch+json", 415, "unsupported-media-type"),
        (b'{"o_orderstatus": "F"}', None, 415, "unsupported-media-type"),
    ],
)
def test_a_patch_of_anything_else_is_refused_and_changes_nothing(
    writer: FlaskClient, order_key: int, body: bytes, content_type: str | None, status: int, kind: str
) -> None:
    before = etag_of(writer, order_key)
    answer = writer.patch(f"/orders/{order_key}", data=body, content_type=content_type)
    assert_problem(answer, status, kind)
    assert etag_of(writer, order_key) == before


def test_a_field_that_cannot_be_patched_is_named(writer: FlaskClient, order_key: int) -> None:
    body = b'{"o_orderstatus": "F", "o_totalprice": 1}'
    answer = writer.patch(f"/orders/{order_key}", data=body, content_type=MERGE_PATCH)
    problem = assert_problem(answer, 422, "invalid-request")
    assert [(each["in"], each["name"]) for each in problem["errors"]] == [("body", "o_totalprice")]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, key: set_status(client, key, "F", MINIMAL),
        lambda client, key: patch_status(client, key, "F", {"Prefer": 'respond-async, return="minimal"'}),
        lambda client, key: withdraw(client, key, MINIMAL),
        lambda client, key: set_statuses(
            client, [{"o_orderkey": key, "o_orderstatus": "F"}], headers=MINIMAL
        ),
    ],
    ids=["POST", "PATCH", "DELETE", "batch"],
)
def test_who_prefers_a_minimal_answer_gets_none_of_a_change_that_was_made(
    writer: FlaskClient, order_key: int, ask: Callable[[FlaskClient, int], TestResponse]
) -> None:
    set_status(writer, order_key, "P")
    answer = ask(writer, order_key)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert "Content-Type" not in answer.headers
    assert answer.headers.get("ETag", etag_of(writer, order_key)) == etag_of(writer, order_key)
    assert len(changes_of(writer, order_key)) == 2


def test_a_minimal_answer_carries_the_etag_and_whether_it_is_replayed(
    writer: FlaskClient, order_key: int
) -> None:
    headers = {**MINIMAL, "Idempotency-Key": f'"minimal-{order_key}"'}
    first, again = (set_status(writer, order_key, "F", headers) for _ in range(2))
    assert first.headers["ETag"] == again.headers["ETag"] == etag_of(writer, order_key)
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")


def test_a_refusal_has_its_body_whatever_the_client_prefers(writer: FlaskClient, order_key: int) -> None:
    refused = set_status(writer, order_key, "F", {**MINIMAL, "If-Match": '"other"'})
    assert_problem(refused, 412, "precondition-failed")
