"""The folder that `new` and `databricks apps init` write: the same files, and a service that starts."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from lakebase_api.__main__ import main
from lakebase_api.access.caller import Caller, Method
from lakebase_api.access.rights import ALL_OF_IT, Action, Rights
from lakebase_api.access.rights_file import read_rights
from lakebase_api.new_folder import FILES, name_app
from lakebase_api.settings import VARIABLES
from lakebase_api.table.declaration import Table
from lakebase_api.table.loading import read_tables
from tests.conftest import OrdersDatabase
from tests.deployment.bundles import find_dangling, find_references, read_yaml, resolve
from tests.deployment.go_template import NotOfTheSubset, render, render_folder
from tests.deployment.scripts import run_script
from tests.gunicorn_process import ROOT, GunicornProcess

TEMPLATE = ROOT / "lakebase_api" / "template"
ANN = Caller("ann", "ann", Method.PLATFORM)
GIVEN = {"branch": "projects/shop/branches/production", "callers": "clerks"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `databricks apps init --name my-api` makes of the template."""
    folder = tmp_path_factory.mktemp("rendered") / "my-api"
    render_folder(TEMPLATE, folder, projectName="my-api")
    return folder


def read_example(file: str) -> str:
    """What the file has as an example, in comments."""
    text = (TEMPLATE / file).read_text()
    example = re.sub("^# ?", "", text[text.index("\n# [") :], flags=re.MULTILINE)
    assert example.lstrip().startswith("[")
    return example


@pytest.fixture(scope="module")
def tables() -> tuple[Table, ...]:
    """The table that the examples are about."""
    tables, mistakes = read_tables(read_example("tables.toml"), "tables.toml")
    assert mistakes == []
    return tables


def test_both_commands_write_the_same_files(rendered: Path, tmp_path: Path) -> None:
    assert main(["new", str(tmp_path / "my-api")]) == 0
    folders = (rendered, tmp_path / "my-api")
    one, other = ({path.name: path.read_text() for path in folder.iterdir()} for folder in folders)
    assert one == other
    assert sorted(one) == sorted(FILES)
    assert [name for name, text in one.items() if "{{" in text or "}}" in text] == []


def test_braces_that_the_command_would_stumble_over_are_seen() -> None:
    assert render("a {{.projectName}} {x}", projectName="b") == "a b {x}"
    for text in ("f'{{x}}'", "${{ github.ref }}", "{{.projectname}}", "{{ if .x }}", "{{ .projectName"):
        with pytest.raises(NotOfTheSubset):
            render(text)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my-api", "my-api"),
        ("My_API 2", "my-api-2"),
        ("2nd.api", "nd-api"),
        ("größe", "gr-e"),
        ("..", "my-api"),
        ("a-service-with-a-very-long-name", "a-service-with-a-very-long"),
    ],
)
def test_a_folder_gives_the_app_a_name_that_an_app_may_have(folder: str, name: str) -> None:
    assert name_app(folder) == name
    assert re.fullmatch("[a-z][a-z0-9-]{0,25}", name)


def test_the_rights_of_the_folder_change_nothing(tables: tuple[Table, ...]) -> None:
    rights, mistakes = read_rights((TEMPLATE / "rights.toml").read_text(), "rights.toml", tables)
    assert mistakes == []
    ann = rights.assign(ANN)
    assert rights.list_rights(ann, tables) == Rights().list_rights(ANN, tables)
    assert not rights.restricts
    assert [rights.find_access(ann, table, action) for table in tables for action in Action] == [
        ALL_OF_IT
    ] * 4


def test_the_example_of_rights_is_right_for_the_example_of_tables(tables: tuple[Table, ...]) -> None:
    rights, mistakes = read_rights(read_example("rights.toml"), "rights.toml", tables)
    assert mistakes == []
    assert rights.list_rights(rights.assign(ANN), tables) == ["customers:read"]


def test_app_yaml_and_the_bundle_start_the_same(rendered: Path, tmp_path: Path) -> None:
    bundle = read_yaml((rendered / "databricks.yml").read_text())
    assert find_dangling(bundle) == []
    used = {reference for found in find_references(bundle).values() for reference in found}
    assert {f"var.{name}" for name in bundle["variables"]} <= used
    alone = read_yaml((rendered / "app.yaml").read_text())
    names = {"dev": "dev-my-api", "prod": "my-api"}
    for target, name in names.items():
        resolved = resolve(bundle, target, **GIVEN)
        app = resolved["resources"]["apps"]["api"]
        environment = {item["name"]: item["value"] for item in app["config"]["env"]}
        assert app["name"] == name
        assert app["config"]["command"] == alone["command"]
        assert environment.keys() == {item["name"] for item in alone["env"]}
        assert environment.keys() <= {one for variable in VARIABLES.values() for one in variable.names}
        assert environment["RIGHTS_FILE"] == find(alone["env"], "RIGHTS_FILE")["value"]
        assert environment["LAKEBASE_ENDPOINT"] == f"{GIVEN['branch']}/endpoints/primary"
        assert (
            find(alone["env"], "LAKEBASE_ENDPOINT")["valueFrom"] == find(app["resources"], "postgres")["name"]
        )
        told = run_script(resolved["experimental"]["scripts"]["postdeploy"], tmp_path)
        assert told["arguments"] == f"-m lakebase_api grant --app {name}"
        assert told["LAKEBASE_ENDPOINT"] == environment["LAKEBASE_ENDPOINT"]


def find(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    [item] = [item for item in items if item["name"] == name]
    return item


def test_a_service_starts_from_what_the_command_made(
    rendered: Path, unchanged_database: OrdersDatabase
) -> None:
    declared = (ROOT / "tables.toml").read_text()
    tables_file = rendered / "tables.toml"
    tables_file.write_text(tables_file.read_text() + declared)
    app = read_yaml((rendered / "app.yaml").read_text())
    settings = {item["name"]: item["value"] for item in app["env"] if "value" in item}
    environment = {
        **unchanged_database.environment,
        **settings,
        "DATABRICKS_APP_NAME": "my-api",
        "PYTHONPATH": str(ROOT),
    }
    command = (sys.executable, "-m", *app["command"])
    with GunicornProcess(environment, command=command, folder=rendered) as service:
        service.wait_until_started()
        assert service.get("/orders/1").status_code == 401
        answer = service.get("/orders/1", **{"X-Forwarded-User": "ann"})
        assert (answer.status_code, answer.json()["o_orderkey"]) == (200, 1)
        me = service.get("/me", **{"X-Forwarded-User": "ann"}).json()
        assert me["roles"] == ["everything"]
