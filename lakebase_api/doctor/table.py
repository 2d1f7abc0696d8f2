"""Judges the orders table: that the role can read it, that it is orders, and that its key is one."""

from psycopg import sql

from lakebase_api.doctor.catalogues import COLUMNS
from lakebase_api.doctor.facts import Facts, Seen
from lakebase_api.doctor.filters import judge_filters
from lakebase_api.lakebase.checks import Blocks, Check, failed, passed, skipped
from lakebase_api.orders.order import KEY
from lakebase_api.settings import Settings, StatusWrites

WHOLE = ("bigint", "integer", "smallint")
TEXT = ("text", "character varying", "character")
# The types of one family, the usual one first. Of the key none that a bigint does not hold.
TYPES = {
    "o_orderkey": WHOLE,
    "o_custkey": (*WHOLE, "numeric"),
    "o_orderstatus": TEXT,
    "o_totalprice": ("numeric", "double precision", "real", *WHOLE),
    "o_orderdate": ("date",),
    "o_orderpriority": TEXT,
    "o_clerk": TEXT,
    "o_shippriority": ("integer", "bigint", "smallint", "numeric"),
    "o_comment": TEXT,
}
KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}
GRANT_MISSING = "a grant is missing"
NAMES = "DEFAULT_POSTGRES_SCHEMA and DEFAULT_POSTGRES_TABLE"


def judge_table(facts: Facts, settings: Settings) -> list[Check]:
    """The checks of the orders table, in the order in which they depend on each other."""
    schema = _judge_schema(facts, settings)
    if facts.relation.oid is None:
        missing = "there is no table to look at"
        return [
            schema,
            _find_missing_table(facts, settings),
            skipped("columns", missing),
            skipped("index", missing),
            judge_filters(facts, settings),
        ]
    checks = [
        schema,
        _judge_select(facts, settings),
        _judge_columns(facts, settings),
        _judge_index(facts, settings),
        judge_filters(facts, settings),
    ]
    if settings.status_writes == StatusWrites.DIRECT:
        checks.append(_judge_update(facts, settings))
    return checks


def _judge_schema(facts: Facts, settings: Settings) -> Check:
    relation, schema = facts.relation, _quote(settings.schema)
    if relation.schema_owner is None:
        return failed(
            "schema",
            f"there is no schema {schema}",
            mend=f"Set DEFAULT_POSTGRES_SCHEMA to the schema of the orders table{_suggest(facts)}",
            fault="the schema is missing",
            blocks=Blocks.EVERYTHING,
        )
    if not relation.may_use_schema:
        return failed(
            "schema",
            f"{relation.role} has no USAGE on schema {schema}",
            mend=f"The owner of the schema, {relation.schema_owner}, runs",
            sql=(f"GRANT USAGE ON SCHEMA {schema} TO {_quote(relation.role)}",),
            fault=GRANT_MISSING,
            blocks=Blocks.EVERYTHING,
        )
    return passed("schema", f"{relation.role} has USAGE on {schema}")


def _find_missing_table(facts: Facts, settings: Settings) -> Check:
    return failed(
        "table",
        f"there is no table {_quote(settings.schema, settings.table)}",
        mend=f"Correct {NAMES}{_suggest(facts)}, or create the synced table; one that is created anew needs "
        "its grants anew",
        fault="the table is missing",
        blocks=Blocks.EVERYTHING,
    )


def _suggest(facts: Facts) -> str:
    """Tables that may have been meant."""
    meant = " or ".join(
        f"DEFAULT_POSTGRES_SCHEMA={schema} DEFAULT_POSTGRES_TABLE={table}" for schema, table in facts.similar
    )
    return f" ({meant})" if meant else ""


def _judge_select(facts: Facts, settings: Settings) -> Check:
    relation, table = facts.relation, _quote(settings.schema, settings.table)
    kind = KINDS[relation.kind or "r"]
    if all(column.may_select for column in facts.columns.values()):
        return passed("table", f"{relation.role} may SELECT from {kind} {table}")
    return failed(
        "table",
        f"{relation.role} may not SELECT from {kind} {table}",
        mend=f"The owner of the {kind}, {relation.owner}, runs",
        sql=(f"GRANT SELECT ON {table} TO {_quote(relation.role)}",),
        fault=GRANT_MISSING,
        blocks=Blocks.EVERYTHING,
    )


def _judge_columns(facts: Facts, settings: Settings) -> Check:
    table = _quote(settings.schema, settings.table)
    lacking = [name for name in COLUMNS if name not in facts.columns]
    wrong = [column for column in facts.columns.values() if column.type not in TYPES[column.name]]
    may_be_null = facts.relation.kind in ("r", "p") and KEY in facts.columns
    may_be_null = may_be_null and not facts.columns[KEY].is_not_null
    if not lacking and not wrong and not may_be_null:
        return passed("columns", "those of TPC-H orders")
    says = [f"{table} has no column {name}" for name in lacking]
    says += [f"{column.name} is {column.type}, not {TYPES[column.name][0]}" for column in wrong]
    says += [f"{KEY} may be NULL"] * may_be_null
    changes = [
        f"ALTER COLUMN {_quote(column.name)} TYPE {usual} USING {_quote(column.name)}::{usual}"
        for column in wrong
        for usual in TYPES[column.name][:1]
    ]
    changes += [f"ALTER COLUMN {_quote(KEY)} SET NOT NULL"] * may_be_null
    mend = f"The table must have the columns of TPC-H orders. Correct {NAMES}, or sync samples.tpch.orders"
    return failed(
        "columns",
        ", ".join(says),
        mend=f"{mend}; where it is no synced table, its owner runs" if changes else mend,
        sql=(f"ALTER TABLE {table} {', '.join(changes)}",) if changes else (),
        fault="the table has other columns" if lacking or wrong else "the key may be NULL",
        blocks=Blocks.EVERYTHING,
    )


def _judge_index(facts: Facts, settings: Settings) -> Check:
    if KEY not in facts.columns:
        return skipped("index", f"there is no {KEY}")
    if facts.key.lacking and not facts.key.is_beyond_indexes:
        return _demand_unique(facts, settings)
    seen = facts.seen
    if seen and not seen.rows == seen.keys == seen.different:
        return _refuse_keys(facts, settings, seen)
    if facts.relation.kind == "p" and facts.indexes[KEY].lacking:
        return _demand_index(facts, settings)
    if not facts.key.is_beyond_indexes and facts.relation.kind != "m":
        return passed("index", f"{KEY} has a unique one")
    what = f"none can say that the keys of this {KINDS[facts.relation.kind or 'r']} are unique"
    if facts.relation.kind == "m":
        what = f"{KEY} has a unique one"
    if seen is None:
        return skipped("index", f"{what}, and they could not be looked through")
    looked = f"all {seen.rows:,}" if seen.is_all else f"{seen.rows:,}"
    return passed("index", f"{what}; {looked} rows looked at have each a key of their own")


def _demand_unique(facts: Facts, settings: Settings) -> Check:
    relation, table = facts.relation, _quote(settings.schema, settings.table)
    without = f"has no unique index on {KEY} alone"
    if relation.kind == "p":
        without = f"has {facts.key.lacking} of its partitions without a unique index on {KEY} alone"
    # A partitioned table takes no CONCURRENTLY.
    how = "" if relation.kind == "p" else " CONCURRENTLY"
    return failed(
        "index",
        f"{table} {without}{_name_invalid(facts)}",
        mend="Without one an order may be there twice, and lists would leave one out. A synced table that is "
        "created anew has one if it is made with a primary key, and loses others. The owner, "
        f"{relation.owner}, runs",
        sql=(f"CREATE UNIQUE INDEX{how} ON {table} ({KEY})",),
        fault="the key is not unique",
        blocks=Blocks.EVERYTHING,
    )


def _refuse_keys(facts: Facts, settings: Settings, seen: Seen) -> Check:
    relation, table = facts.relation, _quote(settings.schema, settings.table)
    kind = KINDS[relation.kind or "r"]
    looked = f"all {seen.rows:,}" if seen.is_all else f"{seen.rows:,}"
    return failed(
        "index",
        f"of {looked} rows looked at in {kind} {table}, {seen.rows - seen.keys:,} have no {KEY} and "
        f"{seen.keys - seen.different:,} have one that another row has",
        mend=f"Each order needs a key of its own: have {relation.owner} change what is behind the {kind}, or "
        f"correct {NAMES}",
        fault="the key is not unique",
        blocks=Blocks.EVERYTHING,
    )


def _demand_index(facts: Facts, settings: Settings) -> Check:
    """Of a partitioned table in which an index cannot make the key unique."""
    relation, table = facts.relation, _quote(settings.schema, settings.table)
    return failed(
        "index",
        f"{table} has {facts.indexes[KEY].lacking} of its partitions without an index that begins with {KEY}"
        f"{_name_invalid(facts)}",
        mend=f"Without one every read goes through the whole partition. The owner, {relation.owner}, runs",
        sql=(f"CREATE INDEX ON {table} ({KEY})",),
        fault="the key has no index",
    )


def _name_invalid(facts: Facts) -> str:
    invalid = ", ".join(facts.indexes[KEY].invalid)
    return f"; {invalid} is not valid: it is being built, or building it failed" if invalid else ""


def _judge_update(facts: Facts, settings: Settings) -> Check:
    relation, table = facts.relation, _quote(settings.schema, settings.table)
    status = facts.columns.get("o_orderstatus")
    if status is None:
        return skipped("update", "there is no o_orderstatus")
    elsewhere = "set STATUS_WRITES=overlay, as for any synced table, which is for reading"
    if not relation.is_updatable:
        return failed(
            "update",
            f"{table} takes no updates",
            mend=elsewhere.capitalize(),
            fault="the table takes no updates",
            blocks=Blocks.CHANGES,
        )
    if not status.may_update:
        return failed(
            "update",
            f"{relation.role} may not UPDATE {table}, and STATUS_WRITES is direct",
            mend=f"Either {elsewhere}; or the owner of the table, {relation.owner}, runs",
            sql=(f"GRANT UPDATE (o_orderstatus) ON {table} TO {_quote(relation.role)}",),
            fault="the grant to update the table is missing",
            blocks=Blocks.CHANGES,
        )
    return passed("update", f"{relation.role} may UPDATE o_orderstatus")


def _quote(*names: str) -> str:
    return sql.Identifier(*names).as_string(None)
