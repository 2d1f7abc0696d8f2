"""Reads a TOML file whose mistakes are told by line."""

import re
import tomllib
from pathlib import Path
from typing import Any

from lakebase_api.table.mistakes import DeclarationError, spell_path
from lakebase_api.table.toml_lines import find_repetition

PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
# How what tomllib says begins where a text is TOML but for what it says before.
SAID_BEFORE = ("Cannot ", "Duplicate ")
NO_MORE = "What follows was not looked at."


def read_file(file: str, variable: str, refusal: type[DeclarationError], how_to_begin: str = "") -> str:
    """The text of the file that a setting names. Raises ``refusal`` if it cannot be read as text."""
    path = Path(file)
    try:
        # Editors may put a mark before the text, which is no part of it.
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise refusal([f"{variable}: there is no file {file}.{how_to_begin}"]) from None
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise refusal([f"{file} line {line}: is not UTF-8."]) from None
    except OSError as error:
        raise refusal([f"{variable}: {file} cannot be read: {error.strerror}."]) from None


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """What the text says. Raises ``ValueError`` with the line where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} {_explain(text, str(error))} {NO_MORE}") from None


def _explain(text: str, says: str) -> str:
    """What tomllib says is wrong with the text, and where."""
    place = PLACE.search(says)
    rows = text.split("\n")
    if place and place["line"]:
        rows = rows[: int(place["line"])]
        rows[-1] = rows[-1][: int(place["column"]) - 1]
    if says.startswith(SAID_BEFORE) and (found := find_repetition("\n".join(rows))):
        name = spell_path(found.path)
        return f"line {found.second}: {name} is there already, in line {found.first}: take one away."
    line = len(rows) if place and place["line"] else text.rstrip().count("\n") + 1
    return f"line {line}: is no TOML: {PLACE.sub('', says)}."
