"""The mistakes of the file of declared tables, each with its line."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakebase_api.redaction import redact
from lakebase_api.table.toml_lines import BARE, Path


class DeclarationError(Exception):
    """A file declares something wrongly. The text has a line for each mistake, with the line of the file."""

    WHAT = ""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = [redact(line) for line in mistakes]
        super().__init__(
            f"The {self.WHAT} need mending:\n" + "\n".join(f"  {line}" for line in self.mistakes)
        )


class TablesError(DeclarationError):
    """Tables are declared wrongly."""

    WHAT = "tables"


@dataclass
class Mistakes:
    """Collects mistakes while a file is read, by one thread."""

    file: str
    lines: Mapping[Path, int]
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: Path, says: str) -> None:
        """Note what is wrong at a place of the file."""
        where = f"{spell_path(path)}: " if path else ""
        self._found.append((self._find_line(path), f"{where}{says}"))

    def spell(self) -> list[str]:
        """All that were added, in the order of the file."""
        return [f"{self.file} line {line}: {says}" for line, says in sorted(self._found)]

    def _find_line(self, path: Path) -> int:
        """Its own line, or that of the nearest around it that is written down."""
        known = (path[:depth] for depth in range(len(path), 0, -1))
        return next((self.lines[above] for above in known if above in self.lines), 1)


@dataclass(frozen=True)
class Section:
    """A table of TOML, and where in the file it is. What is wrong with it is added to the mistakes."""

    content: Mapping[str, Any]
    path: Path
    mistakes: Mistakes

    def refuse(self, says: str, *below: str | int) -> None:
        """Note what is wrong with it, or with what is ``below`` it."""
        self.mistakes.add((*self.path, *below), says)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Note the keys that are none of these."""
        for key in self.content:
            if key not in known:
                self.refuse(f"is not known here{suggest(key, known)}", key)

    def read_text(self, key: str, *, must: bool = False) -> str | None:
        """A text that is not empty, or ``None``."""
        value = self.content.get(key)
        if value is None:
            if must:
                self.refuse(f"has no `{key}`, which it must have.")
            return None
        if isinstance(value, str) and value.strip():
            return value
        self.refuse("must be a text that is not empty.", key)
        return None

    def read_texts(self, key: str) -> tuple[str, ...]:
        """A text, or a list of different ones; none if there is no key."""
        value = self.content.get(key, [])
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self.refuse("must be a text or a list of texts.", key)
            return ()
        if key in self.content and not texts:
            self.refuse("must not be empty.", key)
        self.refuse_repeated(key, texts)
        return tuple(dict.fromkeys(texts))

    def refuse_repeated(self, key: str, texts: list[str]) -> None:
        """Note what is in a list twice."""
        for position, text in enumerate(texts):
            if text in texts[:position]:
                self.refuse(f"names {text} twice.", key, position)

    def read_flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.content.get(key, default)
        if not isinstance(value, bool):
            self.refuse("must be true or false.", key)
            return default
        return value


def spell_path(path: Path) -> str:
    """A path as TOML has it, such as ``customers.columns.c_name``."""
    spelled = ""
    for part in path:
        if isinstance(part, int):
            spelled += f"[{part}]"
        else:
            spelled += ("." if spelled else "") + (part if BARE.fullmatch(part) else f'"{part}"')
    return spelled


def suggest(word: str, known: Collection[str]) -> str:
    """What may be meant, for the end of a sentence, if anything is close."""
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean `{close[0]}`?" if close else "."
