"""Begins a service in a folder of its own: the few files that are not in the package.

`template/` is one for `databricks apps init --template` too, which renders it by Go's text/template.
"""

import re
from importlib.resources import files
from pathlib import Path

FILES = ("tables.toml", "rights.toml", "app.yaml", "databricks.yml", "requirements.txt", ".env.example")
# What stands in the files for the name of the app.
# https://github.com/databricks/cli/blob/main/cmd/apps/init.go
PROJECT_NAME = "{{.projectName}}"
# Of 30 that the name of an app may have, four are for the prefix `dev-`.
LONGEST_NAME = 26


class FolderRefused(Exception):
    """Nothing was written; the text says why."""


def write_folder(folder: Path) -> list[Path]:
    """Write the files into a folder that is not there, or empty; returns them. Raises ``FolderRefused``.

    The app is called as the folder is, as far as the name of an app allows.
    """
    template = files("lakebase_api") / "template"
    name = name_app(folder.resolve().name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FolderRefused(f"{folder} is not empty: name a new folder.")
        for file in FILES:
            text = template.joinpath(file).read_text("utf-8")
            folder.joinpath(file).write_text(text.replace(PROJECT_NAME, name), "utf-8", newline="\n")
    except OSError as error:
        raise FolderRefused(f"{folder} cannot be written: {error.strerror}.") from None
    return [folder / file for file in FILES]


def name_app(text: str) -> str:
    """The text as the name of an app: small letters, digits and hyphens, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789")[:LONGEST_NAME].strip("-")
    return name or "my-api"
