"""A service in a folder of its own: written by a command, and served by the installed package alone."""

import configparser
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from lakebase_api.__main__ import main
from lakebase_api.environment import load_settings
from lakebase_api.new_folder import FILES
from lakebase_api.table.loading import load_tables, read_tables
from lakebase_api.table.mistakes import TablesError
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.package import build_wheel, copy_tree, make_environment
from tests.waiting import PATIENCE

TEMPLATE = ROOT / "lakebase_api" / "template"


def test_a_folder_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my" / "api"
    assert main(["new", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert "introspect" in capsys.readouterr().out
    (folder / "tables.toml").write_text("mine")
    assert main(["new", str(folder)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert (folder / "tables.toml").read_text() == "mine"
    assert main(["new", str(folder / "tables.toml")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_folder_that_is_empty_will_do(tmp_path: Path) -> None:
    assert main(["new", str(tmp_path)]) == 0
    assert main(["new", str(tmp_path)]) == 1


def test_the_example_in_the_file_loads_and_the_file_itself_says_what_to_do_next() -> None:
    text = (TEMPLATE / "tables.toml").read_text()
    [line] = read_tables(text, "tables.toml")[1]
    assert "introspect" in line
    example = re.sub("^# ?", "", text[text.index("# [customers]") :], flags=re.MULTILINE)
    [table], mistakes = read_tables(example, "tables.toml")
    assert mistakes == []
    assert [column.name for column in table.changeable] == ["c_mktsegment"]


def test_each_setting_of_the_examples_is_one(tmp_path: Path) -> None:
    examples = re.findall(r"^#([A-Z_]+)=(.*)$", (TEMPLATE / ".env.example").read_text(), re.MULTILINE)
    assert len(examples) > 8
    page = (ROOT / "docs/settings.md").read_text()
    for name, _ in examples:
        assert f"`{name}`" in page
    with pytest.raises(TablesError, match="declares no table"):
        load_tables(
            load_settings(
                {
                    "PGHOST": "db.example.com",
                    "PGUSER": "me",
                    "PGPASSWORD": "x",
                    "TABLES_FILE": str(TEMPLATE / "tables.toml"),
                }
            )
        )


def test_the_package_says_how_it_is_built_in_one_place() -> None:
    assert list(tomllib.loads((ROOT / "pyproject.toml").read_text())) == ["build-system"]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["options"]["install_requires"] == "file: requirements.in"
    assert config["options.extras_require"]["otel"] == "file: requirements-otel.in"


def test_what_telemetry_needs_is_of_the_versions_that_are_tested() -> None:
    wanted, tested = (
        (ROOT / name).read_text().splitlines() for name in ("requirements-otel.txt", "requirements-dev.txt")
    )
    assert set(wanted) <= set(tested)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and the libraries that it needs."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build_wheel(copy_tree(folder), folder / "wheel")
    return make_environment(folder / "environment", wheel)


@pytest.mark.slow
def test_an_installed_wheel_serves_from_a_folder_of_its_own(
    installed: Path, unchanged_database: OrdersDatabase, tmp_path: Path
) -> None:
    environment = {"PATH": f"{installed}:{os.environ['PATH']}", **unchanged_database.environment}

    def run(*command: str | Path, cwd: Path) -> str:
        return subprocess.run(
            command, cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=PATIENCE
        ).stdout

    run(installed / "lakebase-api", "new", "my-api", cwd=tmp_path)
    folder = tmp_path / "my-api"
    where = run(installed / "python", "-c", "import lakebase_api; print(lakebase_api.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(installed.parent)
    declared = run("lakebase-api", "introspect", "public.orders_synced=orders", "--all", cwd=folder)
    with (folder / "tables.toml").open("a") as file:
        file.write(declared)
    run("lakebase-api", "introspect", "--check", cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    command = re.search(r"^command: \[(.*)\]$", (folder / "app.yaml").read_text(), re.MULTILINE)
    assert command is not None
    [program, *arguments] = [part.strip().strip('"') for part in command[1].split(",")]
    assert program == "gunicorn"
    start = [str(installed / "python"), "-m", program, *arguments]
    with GunicornProcess(unchanged_database.environment, command=start, folder=folder) as service:
        service.wait_until_started()
        assert service.get("/orders/1").status_code == 200
        assert "get_order" in service.get("/openapi.json").text
        assert service.get("/docs").status_code == 200
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


@pytest.mark.slow
def test_a_folder_whose_tables_are_wrong_says_so_and_does_not_start(
    installed: Path, unchanged_database: OrdersDatabase, tmp_path: Path
) -> None:
    assert main(["new", str(tmp_path / "my-api")]) == 0
    start = ["-m", "gunicorn", "-c", "python:lakebase_api.gunicorn_settings", "lakebase_api.wsgi:app"]
    ended = subprocess.run(
        [installed / "python", *start],
        cwd=tmp_path / "my-api",
        env=unchanged_database.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[0] == "The tables need mending:"
    assert "Traceback" not in ended.stderr
