"""Finds the line of each key in the text of a TOML file, which `tomllib` does not tell.

https://toml.io/en/v1.0.0
"""

import bisect
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

# Keys and, in an array, positions, from the top of the file down.
Path = tuple[str | int, ...]

BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
BARE = re.compile(r"[A-Za-z0-9_-]+")
STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
# Numbers, dates, true and false; a date and its time may have a blank between them.
OTHER = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True)
class Repetition:
    """A key that is declared twice, and the lines of both."""

    path: Path
    first: int
    second: int


def find_lines(text: str) -> Mapping[Path, int]:
    """The line, from 1, of each key and element. ``text`` must be one that `tomllib` reads."""
    return _Scanner(text).scan()


def find_repetition(text: str) -> Repetition | None:
    """The first key that is there twice, in a text that `tomllib` reads, or would but for that at its end."""
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.repetition


class _Scanner:
    """Goes through the text once. What `tomllib` has accepted need not be checked again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        # Those that have a value, or a header of their own.
        self._declared: dict[Path, int] = {}
        self.repetition: Repetition | None = None
        # How many elements the arrays of tables have by now.
        self._elements: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        section: Path = ()
        self._skip(BLANK)
        while not self._is_at_end:
            if self._take("[["):
                section = self._read_header(is_element=True)
                self._at += 2
            elif self._take("["):
                section = self._read_header(is_element=False)
                self._at += 1
            else:
                self._read_pair(section)
            self._skip(BLANK)
        return self._lines

    def _read_header(self, *, is_element: bool) -> Path:
        path: Path = ()
        parts = self._read_key()
        for depth, part in enumerate(parts, 1):
            path = (*path, part)
            self._note(path)
            if is_element and depth == len(parts):
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:
                path = (*path, self._elements[path] - 1)
                self._note(path)
        self._declare(path)
        return path

    def _read_pair(self, section: Path) -> None:
        path = section
        for part in self._read_key():
            path = (*path, part)
            self._note(path)
        self._declare(path)
        self._at += 1  # the sign =
        self._read_value(path)

    def _read_key(self) -> list[str]:
        """The parts of a dotted key; ends at what is behind it."""
        parts = []
        while True:
            self._skip(BLANK)
            written = self._skip(BARE) or self._skip(STRING)
            parts.append(_unquote(written))
            self._skip(BLANK)
            if not self._take("."):
                return parts

    def _read_value(self, path: Path) -> None:
        self._skip(BLANK)
        if self._take("["):
            self._read_array(path)
        elif self._take("{"):
            self._read_inline_table(path)
        elif not self._skip(STRING):
            self._skip(OTHER)

    def _read_array(self, path: Path) -> None:
        for position in range(len(self._text)):
            self._skip(BLANK)
            if self._take("]") or self._is_at_end:
                return
            self._note((*path, position))
            self._read_value((*path, position))
            self._skip(BLANK)
            self._take(",")

    def _read_inline_table(self, path: Path) -> None:
        self._skip(BLANK)
        while not self._take("}") and not self._is_at_end:
            self._read_pair(path)
            self._skip(BLANK)
            self._take(",")
            self._skip(BLANK)

    @property
    def _is_at_end(self) -> bool:
        return self._at >= len(self._text)

    @property
    def _line(self) -> int:
        return bisect.bisect_left(self._ends, self._at) + 1

    def _note(self, path: Path) -> None:
        self._lines.setdefault(path, self._line)

    def _declare(self, path: Path) -> None:
        first = self._declared.setdefault(path, self._at)
        if first != self._at and self.repetition is None:
            self.repetition = Repetition(path, bisect.bisect_left(self._ends, first) + 1, self._line)

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]


def _unquote(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0")))
