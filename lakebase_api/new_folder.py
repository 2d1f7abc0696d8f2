"""Begins a service in a folder of its own: the few files that are not in the package."""

from importlib.resources import files
from pathlib import Path

FILES = ("tables.toml", "app.yaml", "requirements.txt", ".env.example")


class FolderRefused(Exception):
    """Nothing was written; the text says why."""


def write_folder(folder: Path) -> list[Path]:
    """Write the files into a folder that is not there, or empty; returns them. Raises ``FolderRefused``."""
    template = files("lakebase_api") / "template"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FolderRefused(f"{folder} is not empty: name a new folder.")
        for name in FILES:
            folder.joinpath(name).write_bytes(template.joinpath(name).read_bytes())
    except OSError as error:
        raise FolderRefused(f"{folder} cannot be written: {error.strerror}.") from None
    return [folder / name for name in FILES]
