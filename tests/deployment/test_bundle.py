"""The Databricks Asset Bundle: that it is whole, and agrees with app.yaml and the settings."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from pathspec import GitIgnoreSpec

from lakebase_api.settings import VARIABLES
from tests.deployment.bundles import find_dangling, find_references, read_yaml, resolve
from tests.deployment.scripts import run_script
from tests.gunicorn_process import ROOT

OWN = ROOT / "databricks.yml"
# What has no default is asked for by the CLI.
GIVEN = {"storage_catalog": "main", "storage_schema": "default", "callers": "clerks"}
NAMES_OF_SETTINGS = {name for variable in VARIABLES.values() for name in variable.names}


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    document: dict[str, Any] = read_yaml(OWN.read_text())
    return document


@pytest.fixture(scope="module", params=["dev", "prod"])
def target(bundle: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """The bundle as one of its targets has it."""
    return resolve(bundle, request.param, **GIVEN)


def get_app(bundle: dict[str, Any]) -> dict[str, Any]:
    [app] = bundle["resources"]["apps"].values()
    assert isinstance(app, dict)
    return app


def get_environment(bundle: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in get_app(bundle)["config"]["env"]}


def test_every_reference_leads_somewhere_and_every_variable_is_used(bundle: dict[str, Any]) -> None:
    assert find_dangling(bundle) == []
    used = {reference for found in find_references(bundle).values() for reference in found}
    assert {f"var.{name}" for name in bundle["variables"]} <= used
    for target in bundle["targets"].values():
        assert target.get("variables", {}).keys() <= bundle["variables"].keys()


def test_a_reference_to_nothing_is_seen() -> None:
    wrong = [
        "var.nmae",
        "resources.apps.other.name",
        "resources.apps.api.x",
        "resources.jobs.api.id",
        "bundle.x",
    ]
    right = ["var.name", "resources.apps.api.name", "resources.apps.api.id", "bundle.name"]
    described = " ".join(f"${{{reference}}}" for reference in (*wrong, *right))
    apps = {"api": {"name": "api", "description": described}}
    bundle = {"variables": {"name": {}}, "resources": {"apps": apps}}
    assert find_dangling(bundle) == [f"resources.apps.api.description: {reference}" for reference in wrong]


def test_targets_share_no_name_and_one_of_them_is_the_default(bundle: dict[str, Any]) -> None:
    dev, prod = (resolve(bundle, name, **GIVEN) for name in ("dev", "prod"))
    assert get_app(dev)["name"] != get_app(prod)["name"]
    assert len(get_app(dev)["name"]) <= 30
    for kind, attribute in (("postgres_projects", "project_id"), ("postgres_catalogs", "catalog_id")):
        [one], [other] = (made["resources"].get(kind, {}).values() or [{}] for made in (dev, prod))
        assert not one or one[attribute] != other[attribute]
    assert [name for name, one in bundle["targets"].items() if one.get("default")] == ["dev"]
    # Without a root_path the CLI refuses a target in production, and dev's has the user's name by itself.
    assert bundle["targets"]["prod"]["workspace"]["root_path"].startswith("/Workspace/Users/")


def test_nobody_is_let_in_to_prod_who_was_not_named(bundle: dict[str, Any]) -> None:
    given = {name: value for name, value in GIVEN.items() if name != "callers"}
    with pytest.raises(KeyError, match="callers"):
        resolve(bundle, "prod", **given)


def test_versions_of_the_cli_that_cannot_update_an_app_are_refused(bundle: dict[str, Any]) -> None:
    accepted = SpecifierSet(bundle["bundle"]["databricks_cli_version"])
    assert not list(accepted.filter(["1.12.1", "1.13.0", "1.14.0", "1.14.1"]))
    assert list(accepted.filter(["1.14.2", "1.15.0", "2.0.0"])) == ["1.14.2", "1.15.0", "2.0.0"]


def test_the_app_starts_with_the_deploy_and_by_the_one_engine_that_can(bundle: dict[str, Any]) -> None:
    assert bundle["bundle"]["engine"] == "direct"
    assert get_app(bundle)["lifecycle"] == {"started": True}


def test_the_bundle_has_all_that_app_yaml_has_and_settings_that_there_are(target: dict[str, Any]) -> None:
    # The environment of a bundle comes in the place of that of app.yaml, not beside it.
    alone = read_yaml((ROOT / "app.yaml").read_text())
    app = get_app(target)
    assert app["config"]["command"] == alone["command"]
    assert [part for part in app["config"]["command"] if not isinstance(part, str)] == []
    environment = get_environment(target)
    assert environment.keys() <= NAMES_OF_SETTINGS
    attached = {resource["name"] for resource in app["resources"]}
    for item in alone["env"]:
        if "valueFrom" in item:
            assert item["valueFrom"] in attached
            assert item["name"] in environment
        else:
            assert environment[item["name"]] == item["value"]


def test_app_and_grant_are_told_the_same_database_and_synced_table(
    target: dict[str, Any], tmp_path: Path
) -> None:
    environment = get_environment(target)
    told = run_script(target["experimental"]["scripts"]["postdeploy"], tmp_path)
    assert told.pop("arguments") == f"-m lakebase_api grant --app {get_app(target)['name']}"
    assert told.keys() <= NAMES_OF_SETTINGS | {"ENV_FILE"}
    assert told["ENV_FILE"] == os.devnull
    branch, endpoint = (
        target["resources"][kind][key]
        for kind, key in (("postgres_branches", "production"), ("postgres_endpoints", "primary"))
    )
    [project] = target["resources"]["postgres_projects"].values()
    made = f"projects/{project['project_id']}/branches/{branch['branch_id']}"
    assert told["LAKEBASE_ENDPOINT"] == f"{made}/endpoints/{endpoint['endpoint_id']}"
    assert environment["LAKEBASE_ENDPOINT"] == "${resources.postgres_endpoints.primary.id}"
    assert told["SYNCED_TABLE"] == environment["SYNCED_TABLE"]


def test_the_app_may_see_each_synced_table(target: dict[str, Any]) -> None:
    seen = {
        resource["uc_securable"]["securable_full_name"]: resource["uc_securable"]["permission"]
        for resource in get_app(target)["resources"]
        if "uc_securable" in resource
    }
    synced = target["resources"].get("postgres_synced_tables", {}).values()
    assert seen == {table["synced_table_id"]: "SELECT" for table in synced}


def test_what_runs_is_uploaded_and_nothing_secret_or_of_development(bundle: dict[str, Any]) -> None:
    left_out = GitIgnoreSpec.from_lines(bundle["sync"]["exclude"])
    code = [
        path.relative_to(ROOT).as_posix() for path in (ROOT / "lakebase_api").rglob("*.*") if path.is_file()
    ]
    needed = ["app.yaml", "requirements.txt", "tables.toml", "wsgi.py", "gunicorn.conf.py", *code]
    cached = [name for name in needed if "__pycache__/" in name]
    template = "lakebase_api/template/.env.example"
    assert sorted(left_out.match_files(needed)) == sorted([*cached, template])
    unwanted = [
        ".env",
        ".env.prod",
        ".venv/bin/python",
        ".venv-bench/x",
        ".local/x",
        "tests/x.py",
        "docs/x.md",
    ]
    unwanted += ["benchmarks/x.py", ".ci/run", "requirements-dev.txt", "a/__pycache__/b.pyc"]
    assert set(left_out.match_files(unwanted)) == set(unwanted)


@pytest.mark.parametrize("file", [OWN, ROOT / "lakebase_api/template/databricks.yml"], ids=str)
def test_a_parser_of_yaml_1_1_reads_the_same(file: Path) -> None:
    # To it `on`, `no` and 12:30 are no texts.
    text = file.read_text()
    assert yaml.safe_load(text) == read_yaml(text)
