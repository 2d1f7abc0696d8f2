"""The scripts of docs/exporting.md, run as they stand there."""

import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import OrdersDatabase
from tests.cutting_proxy import CuttingProxy
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.orders.exporting import COLUMNS, add_nasty_orders, copy, copy_json
from tests.waiting import PATIENCE

PROGRAMS = {"python": [sys.executable], "bash": ["bash"]}
HEADER = COLUMNS.replace(" ", "").encode() + b"\n"


def take_script(language: str) -> str:
    """The script of the page on exports."""
    page = (ROOT / "docs/exporting.md").read_text()
    [script] = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert isinstance(script, str)
    return script


@pytest.mark.parametrize("language", list(PROGRAMS))
def test_a_script_pulls_the_whole_table_over_a_network_that_cuts_it(
    database: OrdersDatabase,
    start_gunicorn: Callable[[dict[str, str]], GunicornProcess],
    tmp_path: Path,
    language: str,
) -> None:
    add_nasty_orders(database)
    whole = HEADER + copy(database) if language == "python" else copy_json(database)
    gunicorn = start_gunicorn(database.environment).wait_until_started()
    script, file = tmp_path / "pull", tmp_path / "orders"
    # A pause is for the sake of the service.
    script.write_text(
        re.sub(
            r"sleep\((.*)\)|sleep 2",
            lambda found: "sleep(0.01)" if found[1] else "sleep 0.01",
            take_script(language),
        )
    )
    generator = random.Random(5)
    # It was begun before, and stopped somewhere.
    file.write_bytes(whole[: generator.randint(1, 10_000)])
    with CuttingProxy(gunicorn.port, generator, len(whole) // 5) as proxy:
        table = f"http://127.0.0.1:{proxy.port}/orders"
        command = [*PROGRAMS[language], str(script), table, "o_orderkey", str(file)]
        # The count before may be cut, too: whoever runs it then runs it again.
        while proxy.cuts < 5 or file.read_bytes() != whole:
            run = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
            if run.returncode == 0:
                break
    assert file.read_bytes() == whole
    assert proxy.cuts > 4
    assert b" of 15,0" in run.stderr or b"% of 150" in run.stderr
