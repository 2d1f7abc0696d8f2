import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess

EXAMPLES = 200
# What a request that fits its schema may be answered, besides success: it may ask for what is not to be had.
CONFIGURATION = """
hooks = "hooks.py"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "404", "409", "412"]
negative_data_rejection.expected-statuses = ["400", "404", "405", "409", "413", "415", "422"]
"""
# What no schema can say: that each order comes once, and that a key is for one change. And schemathesis takes
# the quotes off a key.
HOOKS = """
import uuid
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
    if case.path == "/orders/status":
        case.body = list({item["o_orderkey"]: item for item in case.body}.values())
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
