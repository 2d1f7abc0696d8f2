"""Reads the declaration of a table."""

import re
from collections.abc import Sequence

from lakebase_api.settings import NO_SYNCED_TABLE, SYNCED_TABLE
from lakebase_api.table.collisions import refuse_collisions
from lakebase_api.table.declaration import Column, Table, Writes
from lakebase_api.table.declared_column import read_column
from lakebase_api.table.mistakes import Section, suggest
from lakebase_api.table.names import LONGEST_IDENTIFIER, TAKEN, check_name, guess_one, split_source
from lakebase_api.table.types import KEY_KINDS

KNOWN = ("source", "key", "one", "writes", "public", "synced_table", "columns")
ONE = re.compile(r"[a-z][a-z0-9_]*")
PADDED = re.compile(r"char(acter)?(?! varying)\b|bpchar")
# What is added to a table's name for those that keep its changes.
LONGEST_SUFFIX = "_changes"


def read_table(section: Section) -> Table:
    """The table, as far as it can be told. What is wrong with it is in the mistakes."""
    name = str(section.path[-1])
    section.refuse_unknown(KNOWN)
    _check_table_name(section, name)
    source = _read_source(section)
    columns = _read_columns(section)
    key = _read_key(section, columns)
    table = Table(
        name,
        _read_one(section, name),
        *source,
        columns=columns,
        key_names=key,
        writes=_read_writes(section),
        is_public=section.read_flag("public", default=False),
        synced_table=_read_synced_table(section),
    )
    if key and columns:
        refuse_collisions(section, table)
    return table


def _check_table_name(section: Section, name: str) -> None:
    if problem := check_name(name):
        section.refuse(f"the name of a table {problem}")
    elif name in TAKEN:
        section.refuse(f"{name} is taken; give the table another name, whatever its source is called.")
    if len(f"{name}{LONGEST_SUFFIX}") > LONGEST_IDENTIFIER:
        section.refuse(f"must be shorter: {name}{LONGEST_SUFFIX} is no name that PostgreSQL takes.")


def _read_source(section: Section) -> tuple[str, str]:
    text = section.read_text("source", must=True)
    try:
        return split_source(text) if text else ("", "")
    except ValueError as error:
        section.refuse(str(error), "source")
        return "", ""


def _read_one(section: Section, name: str) -> str:
    one = section.read_text("one") or guess_one(name)
    if not ONE.fullmatch(one):
        section.refuse("must have small letters, digits and _ only, and begin with a letter.", "one")
    return one


def _read_writes(section: Section) -> Writes:
    word = section.content.get("writes", Writes.OVERLAY)
    if word in tuple(Writes):
        return Writes(word)
    section.refuse(f"must be one of {', '.join(Writes)}.", "writes")
    return Writes.OVERLAY


def _read_synced_table(section: Section) -> str | None:
    name = section.read_text("synced_table")
    if name is not None and not re.fullmatch(SYNCED_TABLE, name):
        section.refuse(f"{NO_SYNCED_TABLE[0].lower()}{NO_SYNCED_TABLE[1:]}", "synced_table")
    return name


def _read_columns(section: Section) -> tuple[Column, ...]:
    declared = section.content.get("columns")
    if declared is None:
        section.refuse(f"has no columns: a section [{section.path[-1]}.columns] must have one at least.")
        return ()
    if not isinstance(declared, dict) or not declared:
        section.refuse('must have a column at least, such as id = { type = "bigint" }.', "columns")
        return ()
    columns = []
    for name, content in declared.items():
        if isinstance(content, dict):
            path = (*section.path, "columns", name)
            columns.append(read_column(Section(content, path, section.mistakes)))
        else:
            section.refuse('must be a table such as { type = "bigint" }.', "columns", name)
    return tuple(column for column in columns if column is not None)


def _read_key(section: Section, columns: Sequence[Column]) -> tuple[str, ...]:
    if "key" not in section.content:
        section.refuse('has no `key`, which it must have: the columns that tell rows apart, as ["id"].')
        return ()
    names = section.read_texts("key")
    declared = section.content.get("columns")
    readable = {column.name: column for column in columns}
    for position, name in enumerate(names):
        if name in readable:
            _check_key_column(section, readable[name], is_one_of_many=len(names) > 1)
        elif not isinstance(declared, dict) or name not in declared:
            known = declared if isinstance(declared, dict) else ()
            section.refuse(f"{name} is no declared column{suggest(name, known)}", "key", position)
    return names if set(names) <= set(readable) else ()


def _check_key_column(section: Section, column: Column, *, is_one_of_many: bool) -> None:
    at = ("columns", column.name)
    if column.may_be_null:
        section.refuse("is of the key, and so cannot be NULL.", *at, "null")
    if column.change:
        section.refuse("is of the key, which cannot be changed.", *at, "change")
    if column.type.kind not in KEY_KINDS:
        section.refuse(f"is of the key, which cannot be {column.type.name}.", *at, "type")
    elif PADDED.match(column.type.name):
        section.refuse(
            "is of the key, whose values cannot be padded with blanks: serve a view with ::text.", *at, "type"
        )
    if is_one_of_many and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column.name):
        section.refuse("is a part of the key, and so must have a name of letters, digits and _.", *at)
