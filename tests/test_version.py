"""The version is in one place, and the changelog knows it."""

import json
import re
import subprocess
import sys

import pytest

from lakebase_api import __version__
from lakebase_api.environment import load_settings
from lakebase_api.lakebase.workspace import Workspace
from tests.gunicorn_process import ROOT

HEADINGS = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
# All that tells the version over HTTP, asked in a process in which it is another one.
ANOTHER = """
import json, lakebase_api
lakebase_api.__version__ = "98.76.5"
from tests.http.unopened import build_app
client = build_app(ANONYMOUS="all").test_client()
print(json.dumps({
    "front page": client.get("/").json["version"],
    "document": client.get("/openapi.json").json["info"]["version"],
    "status": client.get("/status.json").json["version"],
}))
"""


def test_the_changelog_begins_with_what_is_not_released_or_with_this_version() -> None:
    versions = [version for version, _ in HEADINGS]
    assert versions[0] in ("Unreleased", __version__)
    assert __version__ in versions
    assert all(date for version, date in HEADINGS if version != "Unreleased")
    numbers = [tuple(map(int, version.split("."))) for version in versions if version != "Unreleased"]
    assert numbers == sorted(set(numbers), reverse=True)


def test_each_change_is_of_a_kind_that_readers_know() -> None:
    kinds = set(re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_whatever_tells_the_version_has_it_from_the_package() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ANOTHER], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    told = json.loads(ended.stdout)
    assert told["front page"] == told["document"] == told["status"] == "98.76.5"


def test_no_other_file_of_the_service_says_the_version() -> None:
    package = (
        path for path in (ROOT / "lakebase_api").rglob("*") if path.suffix in (".py", ".toml", ".html")
    )
    beside = (path for path in ROOT.iterdir() if path.suffix in (".cfg", ".toml", ".yaml", ".yml", ""))
    saying = [path.name for path in (*package, *beside) if path.is_file() and __version__ in path.read_text()]
    assert saying == ["__init__.py"]


@pytest.mark.slow
def test_the_workspace_is_told_the_version() -> None:
    settings = load_settings(
        {
            "LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e",
            "DATABRICKS_HOST": "https://127.0.0.1",
            "DATABRICKS_TOKEN": "x",
        }
    )
    assert f"/{__version__} " in Workspace(settings)._config().user_agent
