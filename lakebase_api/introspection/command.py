"""Writes declarations, or compares those that there are with the database."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import psycopg

from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.doctor.login import LoginFailed, log_in_or_fail
from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.introspection.catalogue import FoundTable, find_relation
from lakebase_api.introspection.comparison import compare, find_undeclared
from lakebase_api.introspection.draft import NotServed, draft_table
from lakebase_api.introspection.toml_text import spell_source, write_grants, write_table
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.redaction import redact
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table
from lakebase_api.table.loading import load_tables, read_tables
from lakebase_api.table.mistakes import TablesError
from lakebase_api.table.names import QUOTED, unquote

UNKNOWN_ROLE = "the client id of the app"
PART = rf'{QUOTED}|[^".=]+'
WANTED = re.compile(rf"(?P<schema>{PART})\.(?P<table>{PART})(=(?P<name>.+))?")


class Refused(Exception):
    """Nothing was written; the text says why."""


class Wanted(NamedTuple):
    """A table to declare, and the resource that it is to be."""

    schema: str
    table: str
    name: str


def introspect(
    environ: Mapping[str, str], names: Sequence[str], *, key: Sequence[str] = (), shows_all: bool = False
) -> str:
    """Declarations of tables such as ``public.customer_synced=customers``, each with its rights.

    ``key``: the columns that tell the rows of the only table apart. Raises ``Refused``.
    """
    settings = _load(environ)
    wanted = [_parse(name) for name in names]
    if key and len(wanted) > 1:
        raise Refused("--key is of one table: name the others in a call of their own.")
    with _connect(settings) as connection:
        found = [_find(connection, table) for table in wanted]
    sections, faults = [], []
    for table, relation in zip(wanted, found, strict=True):
        try:
            draft = draft_table(relation, table.name, key)
            sections.append(write_table(draft, shows_all=shows_all))
        except NotServed as refusal:
            faults.append(f"{spell_source(relation)}: {refusal}")
    if faults:
        raise Refused("\n".join(faults))
    text = "\n" + "\n".join([*sections, write_grants(found, find_app_role(settings) or UNKNOWN_ROLE)])
    if mistakes := read_tables(text, "")[1]:
        raise Refused("\n".join(mistake.partition(": ")[2] for mistake in mistakes))
    return text


def warn_of_same(environ: Mapping[str, str], text: str) -> Iterator[str]:
    """The names of tables in ``text`` that the file has already: appended, it would load no more."""
    file = Path(_load(environ).tables_file)
    if file.is_file():
        there = {table.name for table in read_tables(file.read_text("utf-8-sig", "replace"), "")[0]}
        for table in read_tables(text, "")[0]:
            if table.name in there:
                yield f"{file} has [{table.name}] already: keep one of them, or name this one by =NAME."


def check_declared(environ: Mapping[str, str], names: Sequence[str], out: TextIO = sys.stdout) -> bool:
    """Print how the declared tables of these names, of all if there is none, differ from the database.

    Returns whether they are the same. Raises ``Refused``.
    """
    settings = _load(environ)
    try:
        tables = load_tables(settings)
    except TablesError as error:
        raise Refused(str(error)) from None
    unknown = set(names) - {table.name for table in tables}
    if unknown:
        raise Refused(f"{settings.tables_file} does not declare {', '.join(sorted(unknown))}.")
    with _connect(settings) as connection:
        same = [
            _print_differences(table, _look(connection, table.schema, table.source), out)
            for table in tables
            if not names or table.name in names
        ]
    return all(same)


def _print_differences(table: Table, found: FoundTable | None, out: TextIO) -> bool:
    differences = list(compare(table, found))
    print(f"{table.name}: {'as declared' if not differences else 'differs'}", file=out)
    for difference in differences:
        for line in difference.lines:
            print(f"  {line}", file=out)
    if found and (undeclared := find_undeclared(table, found)):
        print(f"  not declared: {', '.join(undeclared)}", file=out)
    return not differences


def _load(environ: Mapping[str, str]) -> Settings:
    try:
        return load_settings(environ)
    except SettingsError as error:
        raise Refused(str(error)) from None


def _connect(settings: Settings) -> Connection:
    try:
        return log_in_or_fail(settings)
    except LoginFailed as failure:
        raise Refused(str(failure)) from None


def _parse(text: str) -> Wanted:
    found = WANTED.fullmatch(text)
    if found is None:
        raise Refused(f"{text}: must be SCHEMA.TABLE or SCHEMA.TABLE=NAME.")
    schema, table = (unquote(found[part]) for part in ("schema", "table"))
    name = found["name"] or re.sub(r"[^a-z0-9_-]+", "_", table.lower())
    return Wanted(schema, table, name)


def _find(connection: Connection, wanted: Wanted) -> FoundTable:
    found = _look(connection, wanted.schema, wanted.table)
    if found is None:
        raise Refused(f"{wanted.schema}.{wanted.table}: there is no such table or view.")
    return found


def _look(connection: Connection, schema: str, table: str) -> FoundTable | None:
    try:
        return find_relation(connection, schema, table)
    except psycopg.Error as error:
        raise Refused(f"{schema}.{table}: {redact(first_line(error))}.") from None
