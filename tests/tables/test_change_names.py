"""Changes of a table whose columns have the names of what stands beside them."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import ROLE, OrdersDatabase
from tests.gunicorn_process import ROOT
from tests.tables.conftest import TablesOpener

SET_UP = f"""
CREATE TABLE public.tickets (changes bigint PRIMARY KEY, status text, message text, version int);
INSERT INTO public.tickets VALUES (1, 'open', 'a', 1), (2, 'open', 'b', 2);
GRANT SELECT ON public.tickets TO {ROLE};
"""
DECLARED = """
[tickets]
source = "public.tickets"
key = ["changes"]
[tickets.columns]
changes = { type = "bigint" }
status = { type = "text", null = true, values = ["open", "done"], change = { path = "state" } }
message = { type = "text", null = true, change = { path = "message" } }
version = { type = "integer", null = true, change = { path = "version" } }
"""


@pytest.fixture
def client(trial_database: OrdersDatabase, open_tables: TablesOpener) -> FlaskClient:
    trial_database.execute(SET_UP)
    return open_tables(trial_database, (ROOT / "tables.toml").read_text() + DECLARED).test_client()


def post(client: FlaskClient, path: str, body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200
    return response.json


def test_what_stands_beside_a_column_of_its_name_is_told_apart(client: FlaskClient) -> None:
    answer = post(client, "/tickets/1/message", {"message": "c"})
    assert (answer["changes"], answer["message"]) == (1, "c")
    assert "updated" in answer["_message"]
    [done, unknown] = post(
        client,
        "/tickets/state?atomic=false",
        [{"changes": 1, "status": "done"}, {"changes": 9, "status": "done"}],
    )["results"]
    assert (done["changes"], done["status"], done["_status"]) == (1, "done", 200)
    assert unknown["_status"] == 404
    history = client.get("/tickets/1/history").json
    assert history is not None
    assert history["changes"] == 1
    assert [change["column"] for change in history["_changes"]] == ["status", "message"]
    assert history["columns"]["status"]["value"] == "done"


def test_the_document_has_the_same_names(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    assert document is not None
    schemas = document["components"]["schemas"]
    members = {name: set(schema.get("properties", {})) for name, schema in schemas.items()}
    assert any({"changes", "message", "_message"} <= names for names in members.values())
    assert any({"changes", "status", "_status", "etag"} <= names for names in members.values())
    assert any({"changes", "columns", "_changes", "pagination"} <= names for names in members.values())
