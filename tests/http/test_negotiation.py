import pytest
from flask import Response

from lakebase_api.http.negotiation import VARY, negotiate
from tests.http.unopened import build_app

JSON, CSV, LINES = "application/json", "text/csv", "application/x-ndjson"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


def show() -> Response:
    response = Response(negotiate(JSON, CSV, LINES))
    response.headers.add(*VARY)
    return response


APP = build_app()
APP.add_url_rule("/negotiated", view_func=show)
CLIENT = APP.test_client()


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # No preference: the first one offered.
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        (FIREFOX, JSON),
        (JAVA, JSON),
        ("text/html, *; q=.2", JSON),
        ("text/csv, application/json", JSON),
        ("text/csv;q=0.5, application/json;q=0.5", JSON),
        ("text/csv, */*", JSON),
        # A preference.
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        ("application/x-ndjson", LINES),
        ("text/*", CSV),
        ("application/*", JSON),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv;q=0.2,application/json;q=0.1", CSV),
        ("text/csv ; q=0.2 , application/json;q=0.1", CSV),
        ("text/csv;Q=0.2, application/json;q=0.1", CSV),
        ("text/csv;q=0.001, text/html", CSV),
        ("application/json;q=.5, text/csv;q=.6", CSV),
        ("application/json;q=0.999, text/csv;q=1.000", CSV),
        ("image/png, text/html;level=1, application/x-ndjson;q=0.1", LINES),
        # The most specific range decides, wherever it stands.
        ("text/*;q=0.3, text/csv;q=0, */*;q=0.5", JSON),
        ("*/*, application/json;q=0.5, text/*;q=0.7", LINES),
        ("*/*;q=0.1, application/*;q=0.2, application/json;q=0", LINES),
        ("application/json;q=0, */*", CSV),
        ("application/*;q=0, */*;q=0.1", CSV),
        ("text/*, text/csv;q=0.1, application/json;q=0.2", JSON),
        ("text/csv;q=0, text/csv", CSV),
        # Parameters of media types are not told apart.
        ("application/json; charset=utf-8", JSON),
        ("text/csv;header=present;q=0.9, */*;q=0.1", CSV),
        ('text/csv;a="x,application/json;q=0,";q=0.9, application/json;q=0.1', CSV),
        ('text/csv;a="\\",text/csv;q=1,";q=0.1, application/json;q=0.5', JSON),
        ("text/csv;header=absent, text/csv;q=0.1, application/json;q=0.5", JSON),
        ("text/csv;q=0.9;ext=1, application/json;q=0.1", CSV),
        # What cannot be read says nothing.
        ("csv", JSON),
        (",,;q=1,", JSON),
        ("text/csv;q=2, application/x-ndjson;q=0.1", LINES),
        ("text/csv;q=-1, application/json;q=nan, application/x-ndjson;q=1e0", JSON),
        ("text/csv;q=, application/x-ndjson;q=0.1", LINES),
        ('"', JSON),
        ('text/csv;a="', CSV),
        ("é/é, text/csv", CSV),
    ],
)
def test_the_answer_has_the_form_that_the_caller_prefers(accept: str | None, chosen: str) -> None:
    answer = CLIENT.get("/negotiated", headers={} if accept is None else {"Accept": accept})
    assert (answer.status_code, answer.text) == (200, chosen)
    assert answer.headers["Vary"] == "Accept, Authorization"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # As openapi-generator, axios and the like send them.
        ("application/problem+json", JSON),
        ("application/json, application/problem+json", JSON),
        (
            "application/json, application/problem+json;q=0.9, text/csv;q=0.8, application/x-ndjson;q=0.8",
            JSON,
        ),
        ("application/json, application/x-ndjson, application/problem+json, text/csv", JSON),
        ("application/json, text/plain, */*", JSON),
        ("application/json;charset=utf-8", JSON),
        ("application/json;odata=verbose, text/csv;q=0.9", JSON),
        # What is JSON by another name.
        ("text/json", JSON),
        ("text/csv;q=0.5, text/json", JSON),
        ("application/*+json", JSON),
        ("application/*+json, text/csv;q=0.5", JSON),
        ("application/hal+json, text/csv;q=0.5", JSON),
        ("application/vnd.api+json;ext=bulk, application/x-ndjson;q=0.9", JSON),
        ("APPLICATION/LD+JSON, text/csv;q=0.5", JSON),
        ("application/vnd.api+json, application/json;q=0.1, text/csv;q=0.5", CSV),
        # That errors may be problem+json says nothing about what is not an error.
        ("text/csv, application/problem+json", CSV),
        ("application/problem+json, application/x-ndjson;q=0.5", LINES),
    ],
)
def test_real_clients_that_can_read_json_get_it_unless_they_prefer_another_form(
    accept: str, chosen: str
) -> None:
    answer = CLIENT.get("/negotiated", headers={"Accept": accept})
    assert (answer.status_code, answer.text) == (200, chosen)


def test_several_headers_are_read_as_one() -> None:
    several = [("Accept", "text/html"), ("Accept", "text/csv;q=0.5"), ("Accept", "application/x-ndjson")]
    assert CLIENT.get("/negotiated", headers=several).text == LINES


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/csv;q=0",
        "*/*;q=0",
        "*/*;q=0.0, image/png",
        "text/*;q=0, image/*",
        "*/csv",
        "text/csvx",
        "application/xml",
        "application/+json",
        "application/json;q=0",
        "*/*, */*;q=0, application/*;q=0, text/*;q=0.000",
    ],
)
def test_who_takes_none_of_the_forms_gets_the_first(accept: str) -> None:
    answer = CLIENT.get("/negotiated", headers={"Accept": accept})
    assert (answer.status_code, answer.text) == (200, JSON)
    assert answer.headers["Vary"] == "Accept, Authorization"


def test_the_order_of_the_offer_decides_between_equals() -> None:
    for offered in ((CSV, JSON), (JSON, CSV)):
        for accept in ("*/*", "text/csv, application/json", "*/*;q=0.3"):
            with APP.test_request_context(headers={"Accept": accept}):
                assert negotiate(*offered) == offered[0]
