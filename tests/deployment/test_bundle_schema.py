"""The bundles against the schema of the Databricks CLI, as `databricks bundle schema` prints it.

It may not be copied into the repository: ``BUNDLE_SCHEMA`` names the file.
"""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Validator, validator_for

from lakebase_api.new_folder import write_folder
from tests.deployment.bundles import read_yaml, walk
from tests.gunicorn_process import ROOT

SCHEMA = os.environ.get("BUNDLE_SCHEMA")

pytestmark = pytest.mark.skipif(
    not SCHEMA,
    reason="databricks.yml was NOT held against the schema of the Databricks CLI: `databricks bundle schema` "
    "prints it, and BUNDLE_SCHEMA names the file",
)


@pytest.fixture(scope="module")
def schema() -> Validator:
    document = json.loads(Path(SCHEMA or "").read_text())
    # The CLI itself only warns of what it does not know there.
    document["additionalProperties"] = False
    return validator_for(document)


@pytest.fixture(scope="module", params=["own", "new", "new, with a synced table"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "own":
        return read_yaml((ROOT / "databricks.yml").read_text())
    folder = tmp_path_factory.mktemp("new") / "my-api"
    write_folder(folder)
    text = (folder / "databricks.yml").read_text()
    if "synced" in request.param:
        begins = text.index("  # postgres_synced_tables:")
        ends = text.index("\n\n", begins)
        text = text[:begins] + re.sub("(?m)^  # ", "  ", text[begins:ends]) + text[ends:]
        assert "postgres_synced_tables" in read_yaml(text)["resources"]
    return read_yaml(text)


def tell(schema: Validator, bundle: Any) -> list[str]:
    return [f"{error.instance_path}: {error.message}" for error in schema.iter_errors(bundle)]


def test_the_bundle_is_what_the_schema_says(schema: Validator, bundle: Any) -> None:
    assert tell(schema, bundle) == []


def test_a_key_that_is_not_known_is_refused_at_every_level(schema: Validator, bundle: Any) -> None:
    # Variables of a target may be anything: that they are declared is for test_bundle.py to see.
    levels = [path for path, value in walk(bundle) if isinstance(value, dict) and path[2:] != ("variables",)]
    assert len(levels) > 20
    for path in levels:
        broken = copy.deepcopy(bundle)
        inner = broken
        for key in path:
            inner = inner[key]
        inner["surprise"] = {"surprise": 1}
        assert tell(schema, broken), f"nothing was said of {'.'.join(map(str, path))}.surprise"


@pytest.mark.parametrize(
    ("kind", "attribute", "wrong"),
    [
        ("apps", "compute_size", "SMALL"),
        ("apps", "name", None),
        ("postgres_synced_tables", "scheduling_policy", "HOURLY"),
        ("postgres_projects", "pg_version", "seventeen"),
    ],
)
def test_what_is_required_and_what_may_be_chosen_is_looked_at(
    schema: Validator, kind: str, attribute: str, wrong: str | None
) -> None:
    broken = read_yaml((ROOT / "databricks.yml").read_text())
    for resource in broken["resources"][kind].values():
        del resource[attribute]
        if wrong is not None:
            resource[attribute] = wrong
    assert tell(schema, broken)
