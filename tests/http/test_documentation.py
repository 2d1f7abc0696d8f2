import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from tests.http.unopened import build_app


def list_operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method in ("get", "post", "patch", "delete")
    ]


def test_the_openapi_document_is_valid_3_1(reader: FlaskClient) -> None:
    document = reader.get("/openapi.json").json
    assert document is not None
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_the_document_names_both_bases_and_lists_each_path_once(reader: FlaskClient) -> None:
    document = reader.get("/openapi.json").json
    assert document is not None
    assert [server["url"] for server in document["servers"]] == ["/", "/api/v1"]
    assert not [path for path in document["paths"] if path.startswith("/api/")]


def test_each_operation_has_an_id_a_summary_and_examples(reader: FlaskClient) -> None:
    document = reader.get("/openapi.json").json
    assert document is not None
    operations = list_operations(document)
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids) == 25
    assert all(operation["summary"] for operation in operations)
    for schema in document["components"]["schemas"].values():
        for field in schema["properties"].values():
            assert {"example", "examples", "$ref", "items", "enum", "description", "type"} & field.keys()


def test_what_is_documented_by_hand_stands_beside_what_the_schemas_say(reader: FlaskClient) -> None:
    document = reader.get("/openapi.json").json
    assert document is not None
    parameters = document["paths"]["/orders/pages"]["get"]["parameters"]
    assert {"If-None-Match", "sort", "page_size"} <= {parameter["name"] for parameter in parameters}
    assert document["paths"]["/orders"]["get"]["responses"]["200"]["content"].keys() == {
        "application/json",
        "text/csv",
        "application/x-ndjson",
    }


def test_responses_are_in_the_order_of_their_status_and_json_is_the_first_of_a_list(
    reader: FlaskClient,
) -> None:
    # Generated clients ask for, and read, what the document names first.
    document = reader.get("/openapi.json").json
    assert document is not None
    for operation in list_operations(document):
        statuses = list(operation["responses"])
        assert statuses[0] == "200"
        assert statuses == sorted(statuses)
    for name in ("/orders", "/orders/pages", "/orders/stream"):
        assert next(iter(document["paths"][name]["get"]["responses"]["200"]["content"])) == "application/json"


def test_each_parameter_has_one_type(reader: FlaskClient) -> None:
    # Few generators can write one of several into a query.
    document = reader.get("/openapi.json").json
    assert document is not None
    for operation in list_operations(document):
        for parameter in operation.get("parameters", []):
            if "$ref" not in parameter:
                assert isinstance(parameter["schema"]["type"], str), parameter["name"]


def test_a_client_may_send_the_defaults_that_the_document_names(reader: FlaskClient) -> None:
    # As generated clients do, those in JavaScript with numbers that are binary floats.
    document = reader.get("/openapi.json").json
    assert document is not None
    for path, item in document["paths"].items():
        parameters = item["get"].get("parameters", []) if "get" in item else []
        query = {
            parameter["name"]: write_as_javascript(parameter["schema"]["default"])
            for parameter in parameters
            if "default" in parameter.get("schema", {})
        }
        required = {"keys": "1"} if path == "/orders" else {}
        if "get" in item and path != "/readyz":
            asked = path.replace("{order_key}", "1").replace("{audit_event_key}", "1")
            with (
                reader.get(asked, query_string=query | required) as answer,
                reader.get(asked, query_string=required) as without,
            ):
                assert (answer.status_code, without.status_code) == (200, 200), (path, query)
                if path in ("/orders", "/orders/pages", "/orders/stream", "/orders/export"):
                    assert get_orders(answer) == get_orders(without)


def write_as_javascript(value: Any) -> str:
    return json.dumps(float(value) if isinstance(value, int) and abs(value) > 2**53 else value).strip('"')


def get_orders(answer: Any) -> Any:
    return answer.json["orders"] if answer.json else answer.text


def find_links(page: str, path: str) -> list[str]:
    """Where the page at that path finds its assets."""
    return [urljoin(path, link) for link in re.findall(r"""(?:src|href)=["']([^"']+)""", page)]


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_below_a_path_of_a_proxy_the_docs_and_the_document_lead_through_it(base: str) -> None:
    client = build_app(FORWARDED_HOPS="1").test_client()
    shop = {"X-Forwarded-Prefix": "/shop"}
    page = client.get(f"{base}/docs", headers=shop).text
    for link in find_links(page, f"/shop{base}/docs"):
        assert link.startswith(f"/shop{base}/docs/assets/")
        with client.get(link.removeprefix("/shop"), headers=shop) as asset:
            assert asset.status_code == 200
    assert f'url: "/shop{base}/openapi.json"' in page
    document = client.get(f"{base}/openapi.json", headers=shop).json
    assert document is not None
    assert [server["url"] for server in document["servers"]] == ["/shop", "/shop/api/v1"]


def test_the_docs_page_loads_everything_from_our_own_host(reader: FlaskClient) -> None:
    page = reader.get("/docs")
    assert page.status_code == 200
    links = find_links(page.text, "/docs")
    assert links
    for link in links:
        assert link.startswith("/"), link
        with reader.get(link) as asset:
            assert asset.status_code == 200, link
    assert '"validatorUrl": null' in page.text


def test_the_docs_page_runs_its_own_scripts_alone_and_is_shown_in_no_other_page(reader: FlaskClient) -> None:
    page = reader.get("/docs")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    [script] = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.content_type == "text/html; charset=utf-8"


def test_no_page_among_the_assets_of_the_docs_may_be_framed(reader: FlaskClient) -> None:
    with reader.get("/docs/assets/oauth2-redirect.html") as page:
        assert page.status_code == 200
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Frame-Options"] == "DENY"
