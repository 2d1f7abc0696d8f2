import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess

EXAMPLES = 200


def test_every_answer_to_valid_and_invalid_input_is_as_documented(
    database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess], tmp_path: Path
) -> None:
    gunicorn = start_gunicorn(database.environment)
    gunicorn.wait_until_started()
    schemathesis = Path(sys.executable).with_name("schemathesis")
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
