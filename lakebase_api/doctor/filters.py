"""Judges whether the columns that lists are filtered by have indexes, and says which of them need none."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from lakebase_api.doctor.facts import Facts, Index
from lakebase_api.lakebase.checks import Check, advised, passed, skipped
from lakebase_api.orders.filters import FILTERED_COLUMNS
from lakebase_api.orders.order import KEY
from lakebase_api.settings import Settings

NAME = "filters"
# Fewer rows are read in a moment, whatever is asked of them.
SMALL = 100_000
# One of so few values is usually found in every few rows, and then a page of it soon, in key order. An index
# would be as large as any other, and is not used for most of a table.
FEW_VALUES = 20
# Those of TPC-H, for where there are no statistics that the role may see.
USUAL_VALUES = {"o_orderstatus": 3, "o_orderpriority": 5}


def judge_filters(facts: Facts, settings: Settings) -> Check:
    """What would help those who filter. Advice, never a failure: the service works without."""
    if facts.relation.oid is None:
        return skipped(NAME, "there is no table to look at")
    if facts.relation.kind in ("v", "f"):
        return skipped(NAME, "the indexes are those of what is behind it")
    columns = [name for name in FILTERED_COLUMNS if name in facts.columns]
    if KEY not in facts.columns:
        return skipped(NAME, f"there is no {KEY}")
    indexes = [facts.indexes[name] for name in columns]
    lacking = [index for index in indexes if index.lacking]
    rows = facts.indexes[KEY].rows
    if not lacking:
        return passed(NAME, f"{', '.join(columns)} have indexes")
    if rows < SMALL:
        return passed(NAME, f"about {rows:,} rows, which need no index but that of the key")
    few = {index.column: values for index in lacking if (values := _count_few(index))}
    needed = [index for index in lacking if index.column not in few]
    if not needed:
        return passed(NAME, f"every column of many values has an index{_excuse(few)}")
    return _advise(facts, settings, needed, few)


def _count_few(index: Index) -> int | None:
    """How many values the column has, if those are few."""
    values = USUAL_VALUES.get(index.column) if index.distinct is None else index.distinct
    return values if values is not None and values <= FEW_VALUES else None


def _advise(facts: Facts, settings: Settings, needed: Sequence[Index], few: Mapping[str, int]) -> Check:
    relation, table = facts.relation, sql.Identifier(settings.schema, settings.table).as_string(None)
    names = ", ".join(index.column for index in needed)
    rows = facts.indexes[KEY].rows
    invalid = [name for index in needed for name in index.invalid]
    says = (
        f"no index of {table} (about {rows:,} rows) begins with {names}: to filter by one may read every row"
    )
    if invalid:
        says += f"; {', '.join(invalid)} is not valid: it is being built, or building it failed"
    how, note = " CONCURRENTLY", ""
    if relation.kind == "p":
        how = ""
        note = ". On a partitioned table, which takes no CONCURRENTLY, writing waits while an index is built"
    return advised(
        NAME,
        says + _excuse(few),
        mend="Indexes are allowed on a synced table, and are lost when it is created anew"
        f"{note}. For what callers do filter by, the owner, {relation.owner}, runs",
        sql=tuple(
            # The key comes second, so that a page in key order is read without sorting.
            f"CREATE INDEX{how} ON {table} ({index.column}, {KEY})"
            for index in needed
        ),
    )


def _excuse(few: Mapping[str, int]) -> str:
    """Why these columns are better without an index."""
    if not few:
        return ""
    names = " and ".join(f"{column} ({values} values)" for column, values in few.items())
    return f"; {names} do without, as a page of a common value is found soon in key order"
