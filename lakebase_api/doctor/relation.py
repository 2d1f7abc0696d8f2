"""Judges the table or view behind a declared table: that it is there, and that the role can read it."""

from collections.abc import Iterator

from lakebase_api.doctor.columns import judge_columns
from lakebase_api.doctor.facts import Facts
from lakebase_api.doctor.filters import judge_filters
from lakebase_api.doctor.key import judge_key
from lakebase_api.doctor.names import name_kind, name_setting, quote, quote_source, suggest
from lakebase_api.lakebase.findings import FIRST, KEY, Blocks, Check, Remedy, failed, passed, skipped
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Writes

GRANT_MISSING = "a grant is missing"
TABLE_MISSING = "the table is missing"


def judge_table(facts: Facts, settings: Settings) -> Iterator[Check]:
    """The checks of a declared table, in the order in which they depend on each other."""
    yield _judge_schema(facts, settings)
    if facts.relation.oid is None:
        missing = "there is no table to look at"
        yield _find_missing_table(facts, settings)
        yield skipped("columns", missing)
        yield skipped(KEY, missing)
        yield judge_filters(facts)
        return
    yield _judge_select(facts)
    yield judge_columns(facts, settings)
    yield judge_key(facts, settings)
    yield judge_filters(facts)
    if facts.table.writes is Writes.DIRECT and facts.table.changeable:
        yield _judge_update(facts)


def _judge_schema(facts: Facts, settings: Settings) -> Check:
    relation, role, schema = facts.relation, facts.role.role, quote(facts.table.schema)
    if relation.schema_owner is None:
        setting = name_setting(facts.table, settings).replace(" and DEFAULT_POSTGRES_TABLE", "")
        return failed(
            "schema",
            f"there is no schema {schema}",
            mend=f"Set {setting} to the schema of the {facts.table.name} table"
            f"{suggest(facts.table, facts.similar)}",
            fault="the schema is missing",
            blocks=Blocks.EVERYTHING,
        )
    if not relation.may_use_schema:
        return failed(
            "schema",
            f"{role} has no USAGE on schema {schema}",
            mend=f"The owner of the schema, {relation.schema_owner}, runs",
            sql=(f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}",),
            remedy=Remedy.GRANT,
            fault=GRANT_MISSING,
            blocks=Blocks.EVERYTHING,
        )
    return passed("schema", f"{role} has USAGE on {schema}")


def _find_missing_table(facts: Facts, settings: Settings) -> Check:
    return failed(
        "table",
        f"there is no table {quote_source(facts.table)}",
        mend=f"Correct {name_setting(facts.table, settings)}{suggest(facts.table, facts.similar)}, or create "
        "the synced table; one that is created anew needs its grants anew",
        fault=TABLE_MISSING,
        blocks=Blocks.EVERYTHING,
    )


def _judge_select(facts: Facts) -> Check:
    relation, role, source = facts.relation, facts.role.role, quote_source(facts.table)
    kind = name_kind(relation.kind)
    if all(column.may_select for column in facts.columns.values()):
        return passed("table", f"{role} may SELECT from {kind} {source}")
    return failed(
        "table",
        f"{role} may not SELECT from {kind} {source}",
        mend=f"The owner of the {kind}, {relation.owner}, runs",
        sql=(f"GRANT SELECT ON {source} TO {quote(role)}",),
        remedy=Remedy.GRANT,
        fault=GRANT_MISSING,
        blocks=Blocks.EVERYTHING,
    )


def _judge_update(facts: Facts) -> Check:
    relation, role, source = facts.relation, facts.role.role, quote_source(facts.table)
    columns = [facts.columns.get(column.name) for column in facts.table.changeable]
    there = [column for column in columns if column is not None]
    if len(there) < len(columns):
        names = ", ".join(column.name for column in facts.table.changeable)
        return skipped("update", f"not all of these are there: {names}")
    word = "STATUS_WRITES" if facts.table.name == FIRST else "writes"
    elsewhere = f"set {word}=overlay, as for any synced table, which is for reading"
    if not relation.is_updatable:
        return failed(
            "update",
            f"{source} takes no updates",
            mend=elsewhere.replace("set", "Set", 1),
            fault="the table takes no updates",
            blocks=Blocks.CHANGES,
        )
    if not all(column.may_update for column in there):
        lacking = ", ".join(column.quoted for column in there if not column.may_update)
        return failed(
            "update",
            f"{role} may not UPDATE {source}, and {word} is direct",
            mend=f"Either {elsewhere}; or the owner of the table, {relation.owner}, runs",
            sql=(f"GRANT UPDATE ({lacking}) ON {source} TO {quote(role)}",),
            fault="the grant to update the table is missing",
            blocks=Blocks.CHANGES,
        )
    return passed("update", f"{role} may UPDATE {', '.join(column.name for column in there)}")
