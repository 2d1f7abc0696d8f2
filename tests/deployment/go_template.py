"""Renders a folder as `databricks apps init --template` does, as far as the files of this repository need it.

Text files are templates of Go's text/template, what is empty afterwards is left out, and so are some names.
https://github.com/databricks/cli/blob/main/cmd/apps/init.go
"""

import re
from pathlib import Path

TEXT_FILES = (".json", ".yaml", ".yml", ".md", ".txt", ".sql", ".sh", ".py", ".toml", ".ini", ".cfg")
TEXT_NAMES = (".gitignore", ".env", "_gitignore", "_env", "Makefile", "Dockerfile", "LICENSE", "README")
LEFT_OUT = (
    "docs",
    "dist",
    "node_modules",
    ".git",
    "CLAUDE.md",
    "AGENTS.md",
    "databricks_template_schema.json",
)
RENAMED = {"_gitignore": ".gitignore", "_env": ".env", "_env.local": ".env.local"}
# Those that are plain texts; there are deprecated spellings of them, and some for plugins.
VARIABLES = ("projectName", "appDescription", "profile", "workspaceHost")
ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


class NotOfTheSubset(Exception):
    """The text has an action that is not understood here, or half of one."""


def render_folder(source: Path, target: Path, **values: str) -> None:
    """Write what the command would; ``values`` are of ``VARIABLES``. Raises ``NotOfTheSubset``."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_dir() or set(relative.parts) & set(LEFT_OUT):
            continue
        text = path.read_text()
        if path.suffix in (*TEXT_FILES, ".tmpl") or path.name in TEXT_NAMES:
            text = render(text, **values)
        if text.strip():
            name = path.name.removesuffix(".tmpl")
            written = target / relative.parent / RENAMED.get(name, name)
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(text)


def render(text: str, **values: str) -> str:
    """A text with each ``{{.name}}`` put in."""

    def put_in(match: re.Match[str]) -> str:
        name = match[1].strip().removeprefix(".")
        if name not in VARIABLES or not match[1].strip().startswith("."):
            raise NotOfTheSubset(match[0])
        return values.get(name, "")

    if "{{" in ACTION.sub("", text):
        raise NotOfTheSubset("an action that does not end: the command would leave the file as it is")
    return ACTION.sub(put_in, text)
