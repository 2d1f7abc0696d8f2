"""Asks a service for all that its document says, and for what it does not allow."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from lakebase_api.http.audit_operations import declare_audit
from lakebase_api.local.sample_rows import make_keys
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table
from lakebase_api.table.types import Kind

EXAMPLES = 30
# What a request that fits its schema may be answered, besides success: it may ask for what is not to be had.
CONFIGURATION = """
hooks = "hooks.py"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "404", "409", "412"]
negative_data_rejection.expected-statuses = ["400", "404", "405", "409", "413", "415", "422"]
"""
# What no schema can say: that each row, column and field comes once, few columns beside those of the key,
# that a key is for one change, and that a cursor is of an earlier answer to the same question; nor how long a
# URL gunicorn takes. And schemathesis takes the quotes off a key.
HOOKS = """
import uuid
from urllib.parse import urlencode
import requests
import schemathesis

# By the table: the columns of its key, whether its cursors are keys, where its rows are changed, a key,
# and the parameters that are JSON.
TABLES = {tables}


def once(text):
    names = {{part.removeprefix("-"): part for part in text.split(",")}}
    return ",".join(names.values())

def cut(text, key):
    columns = text.split(",")
    others = [column for column in columns if column.removeprefix("-") not in key]
    return ",".join(column for column in columns if column not in others[3:])

def find_cursor(case):
    del case.query["cursor"]
    page = requests.Request(**case.as_transport_kwargs()).prepare()
    with requests.Session() as session:
        answer = session.send(page, timeout=30)
    # 304 has no body, and the last page no next one.
    return answer.status_code == 200 and answer.json()["pagination"]["next_cursor"]

def put_cursor(case, key, is_number):
    query = case.query
    is_key = is_number and isinstance(query["cursor"], int) and query.get("sort", key[0]).startswith(key[0])
    if not is_key and (cursor := find_cursor(case)):
        query["cursor"] = cursor

@schemathesis.hook
def filter_query(context, query):
    return len(urlencode(query or {{}}, doseq=True)) < 7000

@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in (case.headers or {{}}):
        case.headers["Idempotency-Key"] = f'"{{uuid.uuid4()}}"'
    _, table, *rest = case.path.split("/")
    key, is_number, paths, known, jsons = TABLES.get(table, ([], False, [], "", []))
    if rest[:1] and rest[0] in paths and case.method == "POST":
        case.body = list({{tuple(item[part] for part in key): item for item in case.body}}.values())
    query = case.query or {{}}
    for name in {{"sort", "fields"}} & set(query):
        query[name] = once(query[name])
    if "keys" in query and not is_number:
        query["keys"] = known
    for name in set(jsons) & set(query):
        query[name] = '{{"kind": "click"}}'
    if "sort" in query and key:
        query["sort"] = cut(query["sort"], key)
    if rest == ["export"] and "fields" in query:
        query["fields"] = once(",".join([query["fields"], *key]))
    if rest == ["export"] and not is_number:
        query.pop("cursor", None)
    if (rest == ["stream"] or case.path == "/audit") and query.get("cursor"):
        put_cursor(case, key, is_number)
"""


def run_schemathesis(url: str, tables: Iterable[Table], folder: Path, *paths: str) -> None:
    """Ask the service of that address for these paths, or for all.

    Raises ``AssertionError`` with what is not as documented.
    """
    described = {
        table.name: (
            table.key_names,
            table.has_integer_key,
            [column.change.path for column in table.changeable if column.change],
            "/".join(make_keys(table, 1)[0]),
            [f"{column.name}_contains" for column in table.columns if column.type.kind is Kind.JSON],
        )
        for table in (*tables, declare_audit(Settings.status_schema))
    }
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    (folder / "hooks.py").write_text(HOOKS.format(tables=repr(described)))
    options = ["--checks", "all", "--mode", "all", "--max-examples", str(EXAMPLES), "--no-color"]
    # The same examples each time: a run that looks for new ones belongs elsewhere.
    reproducible = ["--generation-deterministic"]
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{url}/openapi.json",
            *options,
            *reproducible,
            *(f"--include-path={path}" for path in paths),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
