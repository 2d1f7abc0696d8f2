"""Reads a Dockerfile, as far as ours goes. https://docs.docker.com/reference/dockerfile/"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Self

INSTRUCTIONS = {
    *("ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "EXPOSE", "USER"),
    *("STOPSIGNAL", "HEALTHCHECK", "CMD"),
}
# Name and value, of which the latter may stand in quotes.
PAIR = re.compile(r'(?P<name>[\w.]+)=(?:"(?P<quoted>[^"]*)"|(?P<plain>\S*))')


@dataclass(frozen=True)
class Instruction:
    """One of the file, with its arguments as they stand there."""

    name: str
    arguments: str


@dataclass
class Stage:
    """The instructions from one FROM to the next; ``base`` as it stands there."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def find(self, name: str) -> str:
        """The arguments of the last one of a name. Raises ``LookupError`` when there is none."""
        found = [each.arguments for each in self.instructions if each.name == name]
        if not found:
            raise LookupError(f"there is no {name}")
        return found[-1]


@dataclass(frozen=True)
class Dockerfile:
    """``arguments`` are the defaults of the ARGs before the first FROM."""

    arguments: Mapping[str, str]
    stages: list[Stage]


def read_dockerfile(text: str) -> Dockerfile:
    """Take a Dockerfile apart. Raises ``ValueError`` for an instruction that is not known here."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _split(text):
        if instruction.name not in INSTRUCTIONS:
            raise ValueError(f"{instruction.name} is not known here")
        if instruction.name == "FROM":
            base, _, name = instruction.arguments.partition(" AS ")
            stages.append(Stage(base, name))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            name, _, default = instruction.arguments.partition("=")
            arguments[name] = default
    return Dockerfile(arguments, stages)


def _split(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, arguments = line.partition(" ")
        yield Instruction(name.upper(), arguments.strip())


def read_pairs(arguments: str, values: Mapping[str, str]) -> dict[str, str]:
    """The names and values of a LABEL or ENV, in which ``${NAME}`` stands for those given."""
    return {
        match["name"]: fill_in(match["plain"] if match["quoted"] is None else match["quoted"], values)
        for match in PAIR.finditer(arguments)
    }


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """The text with values for ``${NAME}``. Raises ``KeyError`` for one that is not there."""
    return Template(text).substitute(values)


def read_command(arguments: str) -> list[str]:
    """The words of a CMD in the form that has no shell between. Raises ``ValueError`` for the other."""
    command: list[str] = json.loads(arguments)
    return command


@dataclass(frozen=True)
class Copy:
    """What a COPY copies: from the context, or from the stage of a name."""

    sources: list[str]
    target: str
    stage: str | None


def read_copy(arguments: str) -> Copy:
    """Take the arguments of a COPY apart. Raises ``ValueError`` for flags but ``--from``."""
    words = arguments.split()
    flags = [word for word in words if word.startswith("--")]
    unknown = [flag for flag in flags if not flag.startswith("--from=")]
    if unknown:
        raise ValueError(f"COPY {unknown[0]} is not known here")
    *sources, target = (word for word in words if word not in flags)
    return Copy(sources, target, flags[0].removeprefix("--from=") if flags else None)


def list_context(folder: Path) -> set[str]:
    """The files of a folder that its .dockerignore lets through, as paths in it.

    Of all patterns that match a path or a folder above it, the last one decides.
    https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    lines = (folder / ".dockerignore").read_text().splitlines()
    rules = [Rule.read(line) for line in lines if line and not line.startswith("#")]
    kept = set()
    for parent, folders, files in os.walk(folder):
        below = Path(parent).relative_to(folder)
        kept |= {path for name in files if _is_let_through(path := (below / name).as_posix(), rules)}
        # A folder that is left out need not be looked into, unless something in it is let through again.
        folders[:] = [name for name in folders if _may_hold_some((below / name).as_posix(), rules)]
    return kept


@dataclass(frozen=True)
class Rule:
    """A line of a .dockerignore."""

    pattern: str
    lets_through: bool

    @classmethod
    def read(cls, line: str) -> Self:
        return cls(line.removeprefix("!").strip("/"), line.startswith("!"))

    def matches(self, path: str) -> bool:
        translated = {"**/": "(?:.*/)?", "*": "[^/]*"}
        parts = re.split(r"(\*\*/|\*)", self.pattern)
        form = re.compile("".join(translated.get(part, re.escape(part)) for part in parts))
        names = path.split("/")
        return any(form.fullmatch("/".join(names[:count])) for count in range(1, len(names) + 1))


def _is_let_through(path: str, rules: list[Rule]) -> bool:
    verdicts = [rule.lets_through for rule in rules if rule.matches(path)]
    return verdicts[-1] if verdicts else True


def _may_hold_some(path: str, rules: list[Rule]) -> bool:
    return _is_let_through(path, rules) or any(
        rule.lets_through and rule.pattern.startswith((f"{path}/", "*")) for rule in rules
    )
