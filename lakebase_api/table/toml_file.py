"""Reads a TOML file whose mistakes are told by line."""

import re
import tomllib
from pathlib import Path
from typing import Any

from lakebase_api.table.mistakes import DeclarationError

PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


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
        says = str(error)
        place = PLACE.search(says)
        line = (place and place[1]) or str(text.rstrip().count("\n") + 1)
        raise ValueError(
            f"{file} line {line}: is no TOML: {PLACE.sub('', says)}. What follows was not looked at."
        ) from None
