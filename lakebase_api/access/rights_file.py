"""Reads the file of rights, and reports all mistakes at once, each with its line."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from lakebase_api.access.caller import Method
from lakebase_api.access.rate_limit import QUOTA, Policy, parse_policy
from lakebase_api.access.rights import (
    OF_CLAIM,
    SERVICE,
    Action,
    Duty,
    Right,
    Rights,
    Role,
)
from lakebase_api.access.row_filters import Condition, OfCaller, RowFilter
from lakebase_api.settings import Settings
from lakebase_api.sql.filters import name_parameters
from lakebase_api.table.declaration import Column, Filter, Table
from lakebase_api.table.declared_column import check_filter
from lakebase_api.table.mistakes import DeclarationError, Mistakes, Section, suggest
from lakebase_api.table.toml_file import parse_toml, read_file
from lakebase_api.table.toml_lines import find_lines
from lakebase_api.table.types import Kind, Type
from lakebase_api.table.values import parse_value
from lakebase_api.table.written_values import read_value

T = TypeVar("T")

SECTIONS = ("roles", "callers", "rows", "hidden", "limits")
# In the place of a table: each that is declared.
EVERY_TABLE = "*"
WITHOUT_ROLES = (Method.ANONYMOUS, Method.LOCAL)
SUBJECT, CLAIM = "$subject", "$claim:"
CLAIM_OF_CALLER = re.compile(rf"{OF_CLAIM}[^=.]+(\.[^=.]+)*=.+")


class RightsError(DeclarationError):
    """Rights are declared wrongly."""

    WHAT = "rights"


def load_rights(settings: Settings, tables: Sequence[Table]) -> Rights:
    """The rights of ``RIGHTS_FILE``, if there is one. Raises ``RightsError`` naming every mistake."""
    if settings.rights_file is None:
        return Rights(anonymous=settings.anonymous)
    text = read_file(settings.rights_file, "RIGHTS_FILE", RightsError)
    rights, mistakes = read_rights(text, settings.rights_file, tables, settings.anonymous)
    if mistakes:
        raise RightsError(mistakes)
    return rights


def read_rights(
    text: str, file: str, tables: Sequence[Table], anonymous: str | None = None
) -> tuple[Rights, list[str]]:
    """The rights that a text gives, and what is wrong with it; ``file`` is what mistakes call it."""
    try:
        content = parse_toml(text, file)
    except ValueError as error:
        return Rights({}), [str(error)]
    mistakes = Mistakes(file, find_lines(text))
    reader = _Reader(Section(content, (), mistakes), {table.name: table for table in tables})
    return reader.read(anonymous), mistakes.spell()


class _Reader:
    """Reads one file. What is wrong with it is in the mistakes."""

    def __init__(self, file: Section, tables: Mapping[str, Table]) -> None:
        self._file = file
        self._tables = tables
        self._roles: dict[str, frozenset[Right]] = {}

    def read(self, anonymous: str | None) -> Rights:
        self._file.refuse_unknown(SECTIONS)
        roles = self._find_section("roles")
        if not roles.content:
            self._file.refuse('has no roles, such as reader = ["orders:read"] in a section [roles].')
        self._roles = {name: frozenset(self._read_rights(roles, name)) for name in roles.content}
        rows = self._read_by_table("rows", self._read_conditions)
        hidden = self._read_by_table("hidden", self._read_hidden)
        quotas = self._read_quotas()
        read = {
            name: Role(name, rights, _pick(rows, name), _pick(hidden, name), quotas.get(name))
            for name, rights in self._roles.items()
        }
        return Rights(read, self._read_callers(), anonymous)

    def _find_section(self, name: str, *above: str) -> Section:
        """A section, empty if it is not there or is none."""
        path = (*above, name)
        content: Any = self._file.content
        for part in path:
            content = content.get(part, {})
        if isinstance(content, dict):
            return Section(content, path, self._file.mistakes)
        self._file.refuse(f"must be a table, as [{'.'.join(path)}] begins one.", *path)
        return Section({}, path, self._file.mistakes)

    def _read_rights(self, roles: Section, role: str) -> Iterator[Right]:
        for position, text in enumerate(roles.read_texts(role)):
            place, colon, action = text.rpartition(":")
            actions = tuple(Duty if place == SERVICE else Action)
            if not colon or action not in actions:
                form = f"{place or 'orders'}:" + f", {place or 'orders'}:".join(actions)
                roles.refuse(f"{text} is no right; rights are such as {form}.", role, position)
            elif place == EVERY_TABLE:
                yield from (Right(name, action) for name in self._tables)
            elif place != SERVICE and place not in self._tables:
                roles.refuse(f"{place} is no declared table{suggest(place, self._tables)}", role, position)
            else:
                yield Right(place, action)

    def _read_callers(self) -> dict[str, frozenset[str]]:
        callers = self._find_section("callers")
        for who in callers.content:
            if who in WITHOUT_ROLES:
                callers.refuse(f"{who} has no roles: ANONYMOUS says what strangers may do.", who)
            if who.startswith(OF_CLAIM) and not CLAIM_OF_CALLER.fullmatch(who):
                callers.refuse("must have the form claim:<path>=<value>, as claim:groups=sales.", who)
        return {who: frozenset(self._read_role_names(callers, who)) for who in callers.content}

    def _read_role_names(self, section: Section, key: str) -> Iterator[str]:
        for position, name in enumerate(section.read_texts(key)):
            if name in self._roles:
                yield name
            else:
                section.refuse(f"{name} is none of the roles{suggest(name, self._roles)}", key, position)

    def _read_quotas(self) -> dict[str, Policy]:
        limits, quotas = self._find_section("limits"), {}
        for role in limits.content:
            text = limits.read_text(role) or ""
            if role not in self._roles:
                limits.refuse(f"{role} is none of the roles{suggest(role, self._roles)}", role)
            elif not QUOTA.fullmatch(text):
                limits.refuse("must have the form 600/60: how much in how many seconds.", role)
            else:
                quotas[role] = parse_policy(role, text)
        return quotas

    def _read_by_table(self, kind: str, read: Callable[[Section, str, Table], T]) -> dict[str, dict[str, T]]:
        """What ``[kind.<table>]`` says for each role, by table and role."""
        found: dict[str, dict[str, T]] = {}
        for name in self._find_section(kind).content:
            section = self._find_section(name, kind)
            if name not in self._tables:
                section.refuse(f"{name} is no declared table{suggest(name, self._tables)}")
                continue
            if self._tables[name].is_public:
                section.refuse(f"{name} is public: all callers get the same of it.")
            for role in section.content:
                if role not in self._roles:
                    section.refuse(f"{role} is none of the roles{suggest(role, self._roles)}", role)
                elif not self._names(role, name):
                    section.refuse(f"{role} has no right to {name}: this says nothing.", role)
                else:
                    found.setdefault(name, {})[role] = read(section, role, self._tables[name])
        return found

    def _names(self, role: str, table: str) -> bool:
        """Whether the role has a right to the table, or one that is misspelled."""
        texts = self._find_section("roles").content[role]
        places = [str(text).rpartition(":")[0] for text in (texts if isinstance(texts, list) else [texts])]
        return table in places or EVERY_TABLE in places

    def _read_hidden(self, section: Section, role: str, table: Table) -> frozenset[str]:
        names = section.read_texts(role)
        for position, name in enumerate(names):
            if name in table.key_names:
                section.refuse(f"{name} is of the key, which cannot be hidden.", role, position)
            elif name not in table.by_name:
                section.refuse(f"{name} is no column{suggest(name, table.names)}", role, position)
        return frozenset(names)

    def _read_conditions(self, section: Section, role: str, table: Table) -> RowFilter:
        content = section.content[role]
        if not isinstance(content, dict) or not content:
            section.refuse('must have a condition, such as { o_orderstatus = "F" }.', role)
            return ()
        conditions = Section(content, (*section.path, role), section.mistakes)
        known = {
            name: (column, asked, operator)
            for column in table.columns
            for asked in Filter
            if check_filter(column.type, asked, may_be_null=column.may_be_null) is None
            for name, operator in name_parameters(column, asked).items()
        }
        conditions.refuse_unknown(known)
        return tuple(
            Condition(*known[name], value=_read_value(conditions, name, *known[name][:2]))
            for name in content
            if name in known
        )


def _pick(by_table: Mapping[str, Mapping[str, T]], role: str) -> dict[str, T]:
    return {table: by_role[role] for table, by_role in by_table.items() if role in by_role}


def _read_value(section: Section, name: str, column: Column, asked: Filter) -> Any:
    """The value of a condition: as a checked query has it, or who has it."""
    given = section.content[name]
    if isinstance(given, str) and given.startswith("$"):
        return _read_of_caller(section, name, asked)
    if asked is Filter.NULL:
        return section.read_flag(name, default=True)
    takes_several = asked is Filter.ANY or column.type.element is not None
    values = given if isinstance(given, list) and takes_several else [given]
    if not values:
        section.refuse("must not be empty.", name)
    read = []
    for value in values:
        try:
            read.append(_parse(column.type.element or column.type, value))
        except ValueError as error:
            section.refuse(f"{str(error)[0].lower()}{str(error)[1:]}", name)
    return read if takes_several else read[0] if read else None


def _parse(kind: Type, value: object) -> object:
    """A value as TOML has it, or as a query does."""
    if not isinstance(value, str):
        value = read_value(kind, value)
    return value if kind.kind is Kind.JSON else parse_value(kind, value)


def _read_of_caller(section: Section, name: str, asked: Filter) -> OfCaller:
    text = section.content[name]
    path = tuple(text.removeprefix(CLAIM).split("."))
    if text != SUBJECT and (not text.startswith(CLAIM) or not all(path)):
        section.refuse(f"{text} is not known here: {SUBJECT} and {CLAIM}<path> are.", name)
    elif asked not in (Filter.ANY, Filter.RANGE):
        section.refuse(f"must be a value here: {text} is for equal values and bounds.", name)
    return OfCaller(() if text == SUBJECT else path)
