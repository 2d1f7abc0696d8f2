"""The commands, as a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakebase_api.__main__ import main
from tests.conftest import OrdersDatabase
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lakebase_api", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_doctor_prints_a_line_for_each_check_and_ends_well(unchanged_database: OrdersDatabase) -> None:
    ended = run(unchanged_database.environment, "doctor")
    assert ended.stderr == ""
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    # Where the app has been, it owns its audit.
    assert {line[:2] for line in lines if not line.startswith("! audit")} == {"✓ "}
    assert len(lines) == 19


def test_the_doctor_ends_with_status_1_and_says_what_mends_each_fault() -> None:
    ended = run({"PGHOST": "127.0.0.1", "PGUSER": "ann"}, "doctor")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("✗ settings: PGPASSWORD: must be set together with PGHOST")
    assert {line[0] for line in lines[1:]} == {"–"}


def test_the_doctor_prints_json(
    unchanged_database: OrdersDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**unchanged_database.environment, "DEFAULT_POSTGRES_TABLE": "orders"}.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    [fault] = [check for check in report["checks"] if check["state"] == "failed"]
    assert set(fault) == {"check", "table", "state", "says", "mend", "sql"}
    assert fault["check"] == "table"
    assert "DEFAULT_POSTGRES_TABLE=orders_synced" in fault["mend"]
    monkeypatch.setenv("DEFAULT_POSTGRES_TABLE", "orders_synced")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_setup_prints_what_it_did_or_why_not(
    database: OrdersDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["setup"]) == 0
    assert "1 migration made" in capsys.readouterr().out
    assert main(["setup", "--role", "nobody-known"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "there is no role nobody-known" in printed.err


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "doctor" in capsys.readouterr().out
