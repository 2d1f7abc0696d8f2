"""The Makefile where something is amiss. A fake Python stands in for those one cannot have here."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.local.conftest import REPOSITORY, Launch, environment

MAKE = ("make", "-f", str(REPOSITORY / "Makefile"))
# A Python whose venv has a pip that does as it is told, and tools that say that they were run.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  -V) echo Python 3.9.6 ;;
  *version_info*) test "$FAKE" != old ;;
  *ensurepip*) test "$FAKE" != bare ;;
  *"-m venv"*) mkdir -p .venv/bin; touch .venv/new; cp "$0" .venv/bin/python
    for tool in ruff mypy lint-imports; do
      echo "echo $tool ran" >.venv/bin/$tool
      chmod +x .venv/bin/$tool
    done
    echo env >.venv/bin/gunicorn
    chmod +x .venv/bin/gunicorn ;;
  *"-m pip"*) case "$FAKE" in
      offline) exit 1 ;;
      slow) echo 'pip is at work'; exec sleep 1000 ;;
    esac ;;
  *pytest*) env ;;
esac
"""


@pytest.fixture
def project(folder: Path) -> Path:
    """A folder with all that `make` looks at."""
    (folder / "requirements.txt").touch()
    (folder / "requirements-dev.txt").touch()
    (folder / "python").write_text(FAKE_PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def make(project: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run make with the fake Python; returns what became of it."""
    return subprocess.run(
        [*MAKE, "PYTHON=./python", *arguments],
        cwd=project,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("fake", "line"),
    [
        ("old", "Python 3.9.6 is too old: 3.11 or newer is needed; try make PYTHON=python3.11."),
        ("bare", "./python has no venv module: on Debian or Ubuntu, apt install python3-venv."),
        (
            "offline",
            "pip could not install requirements-dev.txt: see its message above, then run this again.",
        ),
    ],
)
def test_what_is_amiss_is_named_in_one_line(project: Path, fake: str, line: str) -> None:
    outcome = make(project, "check", FAKE=fake)
    assert outcome.returncode != 0
    told = outcome.stderr.splitlines()
    assert told[0] == line
    assert all(more.startswith("make") for more in told[1:])
    assert not (project / ".venv/.installed").exists()


def test_a_python_that_is_not_there_is_named(project: Path) -> None:
    outcome = make(project, "check", "PYTHON=python3.99")
    assert outcome.returncode != 0
    assert outcome.stderr.splitlines()[0] == "python3.99 is not there: try make PYTHON=python3.11."


def test_check_and_test_run_as_one_command_and_install_once(project: Path) -> None:
    outcome = make(project, "check", "test")
    assert outcome.returncode == 0, outcome.stderr
    assert [line for line in outcome.stdout.splitlines() if line.endswith(" ran")] == ["ruff ran"] * 2 + [
        "mypy ran",
        "lint-imports ran",
    ]
    assert outcome.stdout.count("Making .venv") == 1
    assert "Making .venv" not in make(project, "check").stdout


def test_an_installation_that_was_interrupted_is_not_trusted(launch: Launch, project: Path) -> None:
    run = launch([*MAKE, "PYTHON=./python", "check"], project, FAKE="slow")
    run.read_until("pip is at work")
    family = run.family()
    for process in family:
        process.send_signal(signal.SIGINT)  # as a terminal does
    run.process.wait()
    (project / ".venv/half").touch()

    assert make(project, "check").returncode == 0
    assert not (project / ".venv/half").exists()


def test_changed_requirements_are_installed_into_what_is_there(project: Path) -> None:
    make(project, "check")
    (project / ".venv/kept").touch()
    (project / "requirements-dev.txt").write_text("more")
    stamp = project / ".venv/.installed"
    before = stamp.stat().st_mtime_ns
    assert make(project, "check").returncode == 0
    assert stamp.stat().st_mtime_ns > before
    assert (project / ".venv/kept").exists()


@pytest.mark.parametrize("damage", ["moved", "broken"])
def test_a_venv_that_no_longer_works_is_made_anew(project: Path, damage: str) -> None:
    make(project, "check")
    (project / ".venv/half").touch()
    if damage == "moved":
        (project / ".venv/.installed").write_text("/elsewhere\n")
    else:
        (project / ".venv/bin/python").unlink()
    assert make(project, "check").returncode == 0
    assert not (project / ".venv/half").exists()


def test_nothing_exported_leads_the_tests_to_a_real_database(project: Path) -> None:
    real = dict.fromkeys(
        ("PGHOST", "PGSERVICE", "DATABRICKS_TOKEN", "LAKEBASE_ENDPOINT", "BIND", "PORT", "ENDPOINT_NAME"),
        "real",
    )
    outcome = make(project, "test", **real, ENV_FILE="real")
    assert outcome.returncode == 0
    assert "ENV_FILE=/dev/null\n" in outcome.stdout
    assert "=real" not in outcome.stdout


def test_serving_stays_on_this_machine_whatever_port_the_shell_has(project: Path) -> None:
    def address(*arguments: str, **extra: str) -> list[str]:
        outcome = make(project, "serve", *arguments, **extra)
        assert outcome.returncode == 0, outcome.stderr
        return [line for line in outcome.stdout.splitlines() if line.startswith(("BIND=", "PORT="))]

    assert address() == address(PORT="9000") == []
    assert address(BIND="10.0.0.1:80") == ["BIND=10.0.0.1:80"]
    assert address("PORT=9000") == address("PORT=9000", PORT="1") == ["BIND=127.0.0.1:9000"]


def test_make_alone_lists_what_there_is(project: Path) -> None:
    outcome = make(project)
    assert outcome.returncode == 0
    listed = [line.split()[1] for line in outcome.stdout.splitlines()]
    assert listed == [
        *("help", "run", "serve", "test", "test-all", "faults", "clients", "bench", "image-check"),
        *("dashboard", "check", "dist", "sbom", "audit", "clean"),
    ]
    assert not (project / ".venv").exists()


def test_clean_removes_the_venv_and_the_data(project: Path) -> None:
    make(project, "check")
    (project / ".local/postgres").mkdir(parents=True)
    assert make(project, "clean").returncode == 0
    assert {path.name for path in project.iterdir()} == {"requirements.txt", "requirements-dev.txt", "python"}
