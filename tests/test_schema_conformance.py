import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess

pytestmark = pytest.mark.slow

EXAMPLES = 30
# What a request that fits its schema may be answered, besides success: it may ask for what is not to be had.
CONFIGURATION = """
hooks = "hooks.py"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "404", "409", "412"]
negative_data_rejection.expected-statuses = ["400", "404", "405", "409", "413", "415", "422"]
"""
# What no schema can say: that each order, column and field comes once, that a key is for one change, and that
# a cursor is of an earlier answer to the same question; nor how long a URL gunicorn takes. And schemathesis
# takes the quotes off a key.
HOOKS = """
import uuid
from urllib.parse import urlencode
import requests
import schemathesis


def once(text):
    names = {part.removeprefix("-"): part for part in text.split(",")}
    return ",".join(names.values())

def find_cursor(case):
    del case.query["cursor"]
    page = requests.Request(**case.as_transport_kwargs()).prepare()
    with requests.Session() as session:
        answer = session.send(page, timeout=30)
    # 304 has no body, and the last page no next one.
    return answer.status_code == 200 and answer.json()["pagination"]["next_cursor"] or 0

@schemathesis.hook
def filter_query(context, query):
    return len(urlencode(query or {}, doseq=True)) < 7000

@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
    if case.path == "/orders/status":
        case.body = list({item["o_orderkey"]: item for item in case.body}.values())
    query = case.query or {}
    for name in {"sort", "fields"} & set(query):
        query[name] = once(query[name])
    if case.path == "/orders/export" and "o_orderkey" not in query.get("fields", "o_orderkey"):
        query["fields"] += ",o_orderkey"
    if case.path == "/orders/stream" and query.get("cursor"):
        is_key = isinstance(query["cursor"], int) and query.get("sort", "o_orderkey").startswith("o_orderkey")
        if not is_key:
            query["cursor"] = find_cursor(case)
"""


# Thousands of requests: on a busy machine that takes longer than a test usually may.
@pytest.mark.timeout(300)
def test_every_answer_to_valid_and_invalid_input_is_as_documented(
    database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess], tmp_path: Path
) -> None:
    gunicorn = start_gunicorn(database.environment)
    gunicorn.wait_until_started()
    schemathesis = Path(sys.executable).with_name("schemathesis")
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    (tmp_path / "hooks.py").write_text(HOOKS)
    options = ["--checks", "all", "--mode", "all", "--max-examples", str(EXAMPLES), "--no-color"]
    # The same examples each time: a run that looks for new ones belongs elsewhere.
    reproducible = ["--generation-deterministic"]
    run = subprocess.run(
        [schemathesis, "run", f"{gunicorn.url}/openapi.json", *options, *reproducible],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
