"""Two tables whose columns may change, of a text for a key and of a composite one, and asking for changes."""

from collections.abc import Mapping
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import ROLE
from tests.tables import trial

MERGE_PATCH = "application/merge-patch+json"
LEVELS = '{ path = "level", transitions = ["low>high", "high>top", "high>null"] }'
# Beside orders, as somebody has it who adds to the file of the repository.
DECLARED = f"""
{(trial.REPOSITORY / "tables.toml").read_text()}
[shops]
source = "app.shops"
key = ["code"]
one = "shop"

[shops.columns]
code = {{ type = "text" }}
level = {{ type = "text", null = true, values = ["low", "high", "top"], change = {LEVELS} }}
budget = {{ type = "numeric(18,2)", null = true, change = {{ path = "budget" }} }}
opened = {{ type = "date", null = true, change = {{ path = "opened" }} }}
is_open = {{ type = "boolean", change = {{ path = "is-open" }} }}
rate = {{ type = "double precision", null = true, as = "string", change = {{ path = "rate" }} }}
note = {{ type = "text", null = true }}

[stocks]
source = "app.stocks"
key = ["shop", "number"]
one = "stock"

[stocks.columns]
shop = {{ type = "bigint" }}
number = {{ type = "integer" }}
amount = {{ type = "numeric", null = true, change = {{ path = "amount" }} }}
kind = {{ type = "char(3)", null = true, change = {{ path = "kind" }} }}
seen_at = {{ type = "timestamptz", null = true, change = {{ path = "seen-at" }} }}
"""
CREATE = f"""
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO {ROLE};
CREATE TABLE app.shops (
    code text PRIMARY KEY, level text, budget numeric(18,2), opened date, is_open boolean NOT NULL, note text,
    rate double precision
);
INSERT INTO app.shops VALUES
    ('b', 'low', 1.50, '1996-01-02', true, 'first'), ('c', NULL, NULL, 'infinity', false, NULL);
CREATE TABLE app.stocks (
    shop bigint, number integer, amount numeric, kind char(3), seen_at timestamptz, PRIMARY KEY (shop, number)
);
INSERT INTO app.stocks VALUES
    (1, 1, 1.10, 'a', '2026-01-02T03:04:05.12Z'), (1, 2, NULL, NULL, NULL), (-1, 0, 'NaN', 'abc', 'infinity');
GRANT SELECT ON app.shops, app.stocks TO {ROLE}
"""
A_SHOP = "/shops/c"


def patch(
    client: FlaskClient, path: str, body: str, headers: Mapping[str, str] | None = None
) -> TestResponse:
    """Change columns by a merge patch, written as the text is."""
    return client.patch(path, data=body, content_type=MERGE_PATCH, headers=headers)


def history_of(client: FlaskClient, path: str, query: str = "") -> Any:
    """The history of a row."""
    answer = client.get(f"{path}/history{query}")
    assert answer.status_code == 200, answer.text
    return answer.json


def changes_of(client: FlaskClient, path: str) -> list[tuple[int, str, Any, Any]]:
    """Version, column, old and new value, the newest first."""
    return [
        (each["version"], each["column"], each["old"], each["new"])
        for each in history_of(client, path)["changes"]
    ]


def etag_of(client: FlaskClient, path: str) -> str:
    """The ETag that a read of the row gives."""
    return client.get(path).headers["ETag"]


def read_row(client: FlaskClient, path: str) -> Any:
    """The row as it is shown."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json
