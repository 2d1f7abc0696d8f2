"""Judges whether the columns that lists are filtered by have indexes, and says which of them need none."""

from collections.abc import Iterator, Mapping, Sequence

from lakebase_api.doctor.catalogues import find_uses
from lakebase_api.doctor.facts import Facts, Index, Use
from lakebase_api.doctor.names import quote_source
from lakebase_api.lakebase.findings import Check, Remedy, advised, passed, skipped

NAME = "filters"
# Fewer rows are read in a moment, whatever is asked of them.
SMALL = 100_000
# One of so few values is usually found in every few rows, and then a page of it soon, in key order. An index
# would be as large as any other, and is not used for most of a table.
FEW_VALUES = 20
# PostgreSQL prints "character" of what it knows as bpchar.
PATTERNS = {"character": "bpchar_pattern_ops", "character varying": "varchar_pattern_ops"}


def judge_filters(facts: Facts) -> Check:
    """What would help those who filter. Advice, never a failure: the service works without."""
    if facts.relation.oid is None:
        return skipped(NAME, "there is no table to look at")
    if facts.relation.kind in ("v", "f"):
        return skipped(NAME, "the indexes are those of what is behind it")
    if not facts.has_key:
        lacking = ", ".join(name for name in facts.table.key_names if name not in facts.columns)
        return skipped(NAME, f"there is no {lacking}")
    indexes = list(_find_indexes(facts))
    lacking_indexes = [index for index in indexes if index.lacking]
    if not indexes:
        return passed(NAME, "there are none")
    if not lacking_indexes:
        return passed(NAME, f"{_name_columns(indexes)} have indexes")
    if (rows := _count_rows(facts)) < SMALL:
        return passed(NAME, f"about {rows:,} rows, which need no index but that of the key")
    few = {
        index: values
        for index in lacking_indexes
        if (values := _count_values(facts, index)) is not None and values <= FEW_VALUES
    }
    needed = [index for index in lacking_indexes if index not in few]
    if not needed:
        return passed(NAME, f"every column of many values has an index{_excuse(few)}")
    return _advise(facts, needed, few)


def _find_indexes(facts: Facts) -> Iterator[Index]:
    for column in facts.table.columns:
        if column.name in facts.columns:
            for use in find_uses(column):
                yield facts.indexes[(column.name,), use]


def _count_rows(facts: Facts) -> int:
    return facts.indexes[facts.table.key_names, Use.KEY].rows


def _count_values(facts: Facts, index: Index) -> int | None:
    """How many values the column has, by the statistics or, without, as is declared; ``None`` if unknown."""
    if index.use not in (Use.ANY, Use.RANGE):
        return None
    declared = len(facts.table.by_name[index.columns[0]].values) or None
    return declared if index.distinct is None else index.distinct


def _advise(facts: Facts, needed: Sequence[Index], few: Mapping[Index, int]) -> Check:
    relation, table = facts.relation, quote_source(facts.table)
    invalid = [name for index in needed for name in index.invalid]
    says = (
        f"no index of {table} (about {_count_rows(facts):,} rows) begins with {_name_columns(needed)}: to "
        "filter by one may read every row"
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
        sql=tuple(f"CREATE INDEX{how} ON {table} {_compose_index(facts, index)}" for index in needed),
        # Whoever sees one that is not valid decides whether to wait for it or to drop it.
        remedy=Remedy.OTHER if invalid else Remedy.INDEX,
    )


def _compose_index(facts: Facts, index: Index) -> str:
    column = facts.columns[index.columns[0]]
    # The key comes second, so that a page in key order is read without sorting.
    others = [facts.columns[name].quoted for name in facts.table.key_names if name != column.name]
    key = "".join(f", {name}" for name in others)
    if index.use is Use.CONTAINS:
        return f"USING gin ({column.quoted})"
    if index.use is Use.PREFIX:
        return f"({column.quoted} {PATTERNS.get(column.type, 'text_pattern_ops')}{key})"
    return f"({column.quoted}{key})"


def _name_columns(indexes: Sequence[Index]) -> str:
    return ", ".join(dict.fromkeys(index.columns[0] for index in indexes))


def _excuse(few: Mapping[Index, int]) -> str:
    """Why these columns are better without an index."""
    if not few:
        return ""
    names = " and ".join(f"{index.columns[0]} ({values} values)" for index, values in few.items())
    return f"; {names} do without, as a page of a common value is found soon in key order"
