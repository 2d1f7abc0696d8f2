"""Judges whether the columns are those that are declared, and of their types."""

from lakebase_api.doctor.facts import Column, Facts
from lakebase_api.doctor.names import name_setting, quote, quote_source
from lakebase_api.lakebase.findings import Blocks, Check, Remedy, advised, failed, passed
from lakebase_api.settings import Settings
from lakebase_api.table import declaration
from lakebase_api.table.declaration import Table
from lakebase_api.table.names import IDENTIFIER, unquote
from lakebase_api.table.types import WHOLE, Kind, Type, has_other_numbers


def judge_columns(facts: Facts, settings: Settings) -> Check:
    """Whether all are there, and serve as well as the type that is declared."""
    table = facts.table
    lacking = [name for name in table.names if name not in facts.columns]
    there = [(column, facts.columns[column.name]) for column in table.columns if column.name not in lacking]
    wrong = [(column.type, found) for column, found in there if not serves(table, column, found)]
    may_be_null = [
        found
        for column, found in there
        if column.name in table.key_names and facts.relation.kind in ("r", "p") and not found.is_not_null
    ]
    if lacking or wrong or may_be_null:
        return _refuse(facts, settings, lacking, wrong, may_be_null)
    hidden = {found.type_schema for column, found in there if column.type.enum and not found.may_use_type}
    if hidden:
        return _demand_usage(facts, sorted(hidden))
    narrow = [(column.type, found) for column, found in there if has_other_numbers(column.type, found.type)]
    if narrow:
        return _advise_wider(narrow, settings)
    return passed("columns", f"the {len(there)} that are declared")


def serves(table: Table, column: declaration.Column, found: Column) -> bool:
    """Whether a column of the database is of a type that serves as the declared one.

    Of an integer key only those do that hold nothing which a bigint does not.
    """
    enum = column.type.enum
    if enum is not None:
        is_array = column.type.kind is Kind.ARRAY
        return found.type.endswith("[]") is is_array and _is_named(found, enum)
    if column.type.kind is Kind.INTEGER and column.name in table.key_names:
        return found.type in WHOLE
    return found.type in column.type.family


def _is_named(found: Column, enum: Type) -> bool:
    """Whether the declared name is that of the type: with its schema, or where it is found without."""
    parts = [unquote(part) for part in IDENTIFIER.findall(enum.name)]
    if len(parts) == 1:
        return parts == [found.type_name] and found.is_type_visible
    return parts == [found.type_schema, found.type_name]


def _refuse(
    facts: Facts,
    settings: Settings,
    lacking: list[str],
    wrong: list[tuple[Type, Column]],
    may_be_null: list[Column],
) -> Check:
    table = quote_source(facts.table)
    says = [f"{table} has no column {name}" for name in lacking]
    says += [f"{found.name} is {found.type}, not {declared.name}" for declared, found in wrong]
    says += [f"{found.name} may be NULL" for found in may_be_null]
    changes = [
        f"ALTER COLUMN {quote(found.name)} TYPE {declared.name} USING {quote(found.name)}::{declared.name}"
        for declared, found in wrong
    ]
    changes += [f"ALTER COLUMN {quote(found.name)} SET NOT NULL" for found in may_be_null]
    mend = (
        f"The {facts.table.name} table must be as {settings.tables_file} declares it. Correct that, or "
        f"{name_setting(facts.table, settings)}"
    )
    return failed(
        "columns",
        ", ".join(says),
        mend=f"{mend}; where it is no synced table, its owner runs" if changes else mend,
        sql=(f"ALTER TABLE {table} {', '.join(changes)}",) if changes else (),
        fault="the table has other columns" if lacking or wrong else "the key may be NULL",
        blocks=Blocks.EVERYTHING,
    )


def _advise_wider(narrow: list[tuple[Type, Column]], settings: Settings) -> Check:
    says = [f"{found.name} is {found.type}, declared as {declared.name}" for declared, found in narrow]
    return advised(
        "columns",
        f"{', '.join(says)}: numbers may be shown that the documentation rules out",
        mend=f"Declare in {settings.tables_file} what the database has",
        sql=(),
    )


def _demand_usage(facts: Facts, schemas: list[str]) -> Check:
    role = facts.role.role
    return failed(
        "columns",
        f"{role} may not use the types in {', '.join(map(quote, schemas))}",
        mend="The owner of the schema runs",
        sql=tuple(f"GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)}" for schema in schemas),
        remedy=Remedy.GRANT,
        fault="a grant is missing",
        blocks=Blocks.EVERYTHING,
    )
