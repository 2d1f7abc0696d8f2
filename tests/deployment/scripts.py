"""Runs a bundle's script as the CLI does, with a stub in the place of Python."""

import subprocess
from pathlib import Path

from tests.waiting import PATIENCE

STUB = """#!/bin/sh
echo "arguments=$*"
env
"""
# What every process has, and what sh adds.
OF_THE_SHELL = ("PATH", "PWD", "OLDPWD", "SHLVL", "_")


def run_script(script: str, folder: Path) -> dict[str, str]:
    """What `python` was started with: its environment, and its ``arguments`` in one text."""
    stub = folder / "python"
    stub.write_text(STUB)
    stub.chmod(0o755)
    # https://github.com/databricks/cli/blob/main/libs/exec/shell_sh.go
    file = folder / "script.sh"
    file.write_text(script)
    path = f"{folder}:/usr/bin:/bin"
    ended = subprocess.run(
        ["sh", "-e", file], env={"PATH": path}, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    lines = (line.partition("=") for line in ended.stdout.splitlines())
    return {name: value for name, _, value in lines if name not in OF_THE_SHELL}
