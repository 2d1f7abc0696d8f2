"""Writes a draft as TOML, with a comment behind each guess.

What may be served is behind ``# ``. What is only to be read is behind ``## ``, so that it stays a comment
when a reader takes the first ``#`` of every line away.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lakebase_api.doctor.names import name_kind, quote
from lakebase_api.introspection.catalogue import FoundTable
from lakebase_api.introspection.draft import Draft, DraftColumn, NotServed
from lakebase_api.table.loading import read_tables
from lakebase_api.table.names import UNQUOTED, guess_one
from lakebase_api.table.toml_lines import BARE
from lakebase_api.table.types import Kind

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
PLACE = re.compile(r"line (\d+): (?:[^:]*: )?(?P<says>.*)")
SYNCED_TABLE = '# synced_table = "catalog.schema.table"  # its name in Unity Catalog, to say how fresh it is'
# Where a column begins, what is before it is the prefix of the table, as in c_name.
PREFIX = re.compile(r"^[a-z]{1,3}_(?=.)")


def write_table(draft: Draft, *, shows_all: bool) -> str:
    """The section of a table, which loads without a mistake, also with every column in it.

    Columns that are not of the key are commented out unless ``shows_all``. Raises ``NotServed``.
    """
    draft = _suggest_change(_mend(draft))
    columns = [
        f"{'' if shows_all or column.name in draft.key else '# '}{write_column(column)}{_comment(column)}"
        for column in _served(draft)
    ]
    return "\n".join([*_write_head(draft), *columns, *_write_rest(draft)]) + "\n"


def write_grants(tables: Sequence[FoundTable], role: str) -> str:
    """The rights that the app's role must have, as comments."""
    enums = {column.type_schema for table in tables for column in table.columns if column.type_kind == "e"}
    schemas = sorted({table.schema for table in tables} | enums)
    grants = [f"GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)};" for schema in schemas]
    grants += [f"GRANT SELECT ON {quote(table.schema, table.name)} TO {quote(role)};" for table in tables]
    lines = [
        "What the owner of the tables runs for the app to read them; doctor says what is missing:",
        *grants,
    ]
    return "\n".join(f"## {_clean(line)}" for line in lines) + "\n"


def spell_source(found: FoundTable) -> str:
    """A table as ``source`` has it."""
    return ".".join(_spell_identifier(part) for part in (found.schema, found.name))


def _mend(draft: Draft) -> Draft:
    """The draft without what would be a mistake in it, such as a filter whose parameter is another's."""
    while True:
        head, served = _write_head(draft), _served(draft)
        lines = [*head, *map(write_column, served)]
        mistakes = read_tables("\n".join(lines), "")[1]
        if not mistakes:
            return draft
        place = PLACE.search(mistakes[0])
        at = int(place[1]) - 1 - len(head) if place else -1
        if place is None or at < 0 or served[at].name in draft.key:
            raise NotServed(mistakes[0].partition(": ")[2])
        bad = served[at]
        says = place["says"]
        without = replace(bad, filters=(), reasons=(*bad.reasons, f"no filter: {says}"))
        better = without if bad.filters else replace(bad, refusal=says)
        columns = tuple(better if column is bad else column for column in draft.columns)
        draft = replace(draft, columns=columns)


def _served(draft: Draft) -> list[DraftColumn]:
    return [column for column in draft.columns if not column.refusal]


def _write_head(draft: Draft) -> list[str]:
    found = draft.found
    rows = "" if found.rows is None else f", some {found.rows:,} rows"
    key = ", ".join(_quote(name) for name in draft.key)
    return [
        f"[{draft.name}]",
        f"source = {_quote(spell_source(found))}  # {name_kind(found.kind)}{rows}",
        f"key = [{key}]  # {_clean(draft.key_reason)}",
        f"one = {_quote(guess_one(draft.name))}  # a row of it, in texts and names",
        '# writes = "overlay"  # where changes go: beside the table; or "direct", into it; or "off"',
        # Synced tables are plain ones.
        *([SYNCED_TABLE] if found.kind == "r" else []),
        "",
        f"[{draft.name}.columns]",
    ]


def write_column(column: DraftColumn) -> str:
    """A column as it is declared, in a line."""
    parts = [f"type = {_quote(column.type)}"]
    if column.may_be_null:
        parts.append("null = true")
    if column.filters:
        words = [_quote(asked) for asked in column.filters]
        parts.append(f"filter = {words[0] if len(words) == 1 else '[' + ', '.join(words) + ']'}")
    if not column.is_sortable:
        parts.append("sort = false")
    if column.labels:
        parts.append(f"values = [{', '.join(map(_quote, column.labels))}]")
    return f"{_spell_key(column.name)} = {{ {', '.join(parts)} }}"


def _comment(column: DraftColumn) -> str:
    return f"  # {_clean('; '.join(column.reasons))}" if column.reasons else ""


def _write_rest(draft: Draft) -> Iterator[str]:
    indexes = list(_write_indexes(draft.found, _served(draft)))
    if indexes:
        yield "## Indexes that other filters and sorts need, not to read the whole table:"
        yield from (f"## {_clean(line)}" for line in indexes)
    for column in draft.columns:
        if column.refusal:
            yield f"## Left out: {_clean(column.name)}, {_clean(column.type)}: {_clean(column.refusal)}"


def _suggest_change(draft: Draft) -> Draft:
    """The draft with words on how a column is changed, at one of few values that may be, if there is one."""
    head, served = _write_head(draft), _served(draft)
    for column in sorted(served, key=_judge_likelihood):
        path = re.sub(r"[^a-z0-9_-]", "_", PREFIX.sub("", column.name.lower()))
        change = f"change = {{ path = {_quote(path)} }}"
        line = f"{write_column(column).removesuffix(' }')}, {change} }}"
        lines = [line if other is column else write_column(other) for other in served]
        if not read_tables("\n".join([*head, *lines]), "")[1]:
            better = replace(column, reasons=(*column.reasons, f"to have it changed, add {change}"))
            columns = tuple(better if other is column else other for other in draft.columns)
            return replace(draft, columns=columns)
    return draft


def _judge_likelihood(column: DraftColumn) -> tuple[bool, bool]:
    """Sorts what people change, such as a state, before numbers and what has many values."""
    return not column.is_few, column.kind not in (Kind.TEXT, Kind.ENUM, Kind.BOOLEAN)


def _write_indexes(found: FoundTable, columns: Sequence[DraftColumn]) -> Iterator[str]:
    if found.kind == "v":
        return
    # None of a partitioned table can be made concurrently.
    how = "" if found.kind == "p" else " CONCURRENTLY"
    table = quote(found.schema, found.name)
    for column in columns:
        is_contained = column.kind is Kind.ARRAY or column.type == "jsonb"
        if not column.is_sortable or (is_contained and not column.filters):
            using = " USING gin" if is_contained else ""
            yield f"CREATE INDEX{how} ON {table}{using} ({quote(column.name)});"


def _spell_key(name: str) -> str:
    return name if BARE.fullmatch(name) else _quote(name)


def _quote(text: str) -> str:
    """A text as TOML has it: as it is where that is easier to read, else as JSON has it."""
    if '"' in text and "'" not in text and "\\" not in text and not CONTROL.search(text):
        return f"'{text}'"
    # JSON takes it, TOML does not.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _clean(text: str) -> str:
    """A text that stays in its comment."""
    return CONTROL.sub("?", text)


def _spell_identifier(name: str) -> str:
    return name if UNQUOTED.fullmatch(name) else '"' + name.replace('"', '""') + '"'
