"""The image, as far as its files say what is in it. `make image-check` runs it."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.gunicorn_process import ROOT
from tests.image.dockerfile import (
    Dockerfile,
    list_context,
    read_command,
    read_copy,
    read_dockerfile,
    read_pairs,
)

# What only people who work on the code need.
LEFT_OUT = "lakebase_api/local/"
STARTING = {"wsgi.py", "gunicorn.conf.py", "tables.toml"}
INSTALLING = {"requirements.txt", "requirements-otel.txt"}


@pytest.fixture
def dockerfile() -> Dockerfile:
    return read_dockerfile((ROOT / "Dockerfile").read_text())


def list_copied(dockerfile: Dockerfile) -> set[str]:
    """What is copied from the context."""
    copies = [
        read_copy(each.arguments)
        for stage in dockerfile.stages
        for each in stage.instructions
        if each.name == "COPY"
    ]
    return {source for copy in copies if not copy.stage for source in copy.sources}


def test_each_source_is_there_and_is_all_that_the_context_holds(dockerfile: Dockerfile) -> None:
    copied = list_copied(dockerfile)
    assert all((ROOT / source).exists() for source in copied)
    assert {path.split("/")[0] for path in list_context(ROOT)} == copied


def test_the_context_is_the_package_and_what_starts_it_and_nothing_else() -> None:
    files = (path for path in (ROOT / "lakebase_api").rglob("*") if path.is_file())
    package = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    needed = {name for name in package if not name.startswith(LEFT_OUT)}
    assert list_context(ROOT) == needed | STARTING | INSTALLING | {"LICENSE"}


def test_no_module_in_it_imports_what_is_left_out() -> None:
    for name in list_context(ROOT):
        if name.endswith(".py"):
            imports = [
                node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                for node in ast.walk(ast.parse((ROOT / name).read_text()))
                if isinstance(node, ast.ImportFrom | ast.Import)
            ]
            assert not any((module or "").startswith("lakebase_api.local") for module in imports), name


def test_secrets_history_and_leavings_stay_out_of_the_context(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    kept = {"wsgi.py", "lakebase_api/app.py", "lakebase_api/template/.env.example"}
    left_out = {
        *(".env", ".env.production", ".git/config", ".local/data", ".venv/bin/python", "tests/test_app.py"),
        *("rights.toml", "key.pem", "lakebase_api/.env", "lakebase_api/http/.env", "docs/wsgi.py"),
        *("lakebase_api/__pycache__/app.pyc", "lakebase_api/http/__pycache__/x.pyc", f"{LEFT_OUT}api.py"),
    }
    for name in kept | left_out:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_context(tmp_path) == kept


def test_packages_are_wheels_of_pinned_versions_and_pip_is_not_among_them(dockerfile: Dockerfile) -> None:
    [build, _] = dockerfile.stages
    [install] = [each.arguments for each in build.instructions if "pip " in each.arguments]
    assert "--only-binary :all:" in install
    assert "--no-cache-dir" in install
    assert "--without-pip" in install
    assert set(re.findall(r"-r (\S+)", install)) == INSTALLING
    for name in INSTALLING:
        lines = (ROOT / name).read_text().splitlines()
        assert all("==" in line or line.lstrip().startswith(("--hash", "#")) for line in lines if line)


def test_the_last_stage_installs_nothing_and_copies_only_what_the_first_one_made(
    dockerfile: Dockerfile,
) -> None:
    [build, final] = dockerfile.stages
    assert build.base == final.base == "${BASE}"
    assert dockerfile.arguments["BASE"].startswith("python:3.11-slim")
    assert not [each for each in final.instructions if each.name == "RUN"]
    copies = [read_copy(each.arguments) for each in final.instructions if each.name == "COPY"]
    assert [(copy.sources, copy.stage) for copy in copies] == [(["/opt/venv"], "build"), (["/app"], "build")]


def test_it_runs_as_nobody_as_process_1_and_ends_on_sigterm(dockerfile: Dockerfile) -> None:
    final = dockerfile.stages[-1]
    assert final.find("USER") == "65534:65534"
    assert final.find("STOPSIGNAL") == "SIGTERM"
    # Without a shell, which would be process 1 and would not pass the signal on.
    assert read_command(final.find("CMD")) == ["gunicorn", "wsgi:app"]
    assert not [each for each in final.instructions if each.name == "ENTRYPOINT"]


def test_the_port_is_the_platforms_to_choose(dockerfile: Dockerfile) -> None:
    environment = read_pairs(dockerfile.stages[-1].find("ENV"), {"PATH": "/usr/bin"})
    assert environment["PORT"] == dockerfile.stages[-1].find("EXPOSE") == "8000"
    assert "BIND" not in environment


def test_labels_say_what_it_is_and_of_which_source(dockerfile: Dockerfile) -> None:
    final = dockerfile.stages[-1]
    names = [each.arguments for each in final.instructions if each.name == "ARG"]
    labels = read_pairs(final.find("LABEL"), {name: f"the {name}" for name in names})
    prefix = "org.opencontainers.image."
    assert {name.removeprefix(prefix): value for name, value in labels.items()} == {
        "title": "lakebase-api",
        "description": "A REST API in front of tables of Databricks Lakebase",
        "licenses": "Apache-2.0",
        "base.name": "the BASE",
        "version": "the VERSION",
        "revision": "the REVISION",
        "created": "the CREATED",
        "source": "the SOURCE",
    }


def test_the_page_gives_each_argument_of_the_build(dockerfile: Dockerfile) -> None:
    page = (ROOT / "docs/deploying.md").read_text()
    given = set(re.findall(r"--build-arg (\w+)=", page))
    declared = {each.arguments for each in dockerfile.stages[-1].instructions if each.name == "ARG"}
    assert given == declared
