"""Judges whether the key of a declared table is one: unique, in every row, and found without a search."""

from lakebase_api.doctor.facts import Facts, Index, Seen, Use
from lakebase_api.doctor.names import name_kind, name_setting, quote_source
from lakebase_api.lakebase.findings import KEY, Blocks, Check, Remedy, advised, failed, passed, skipped
from lakebase_api.settings import Settings


def judge_key(facts: Facts, settings: Settings) -> Check:
    """Whether an index makes it unique; where none can, whether it is in the rows that were looked at."""
    table, kind, seen = facts.table, facts.relation.kind, facts.seen
    if not facts.has_key:
        lacking = ", ".join(name for name in table.key_names if name not in facts.columns)
        return skipped(KEY, f"there is no {lacking}")
    if facts.key.lacking and not facts.key.is_beyond_indexes:
        return _demand_unique(facts)
    if seen and not seen.rows == seen.keys == seen.different:
        return _refuse_keys(facts, settings, seen)
    if kind == "p" and _find_index(facts).lacking:
        return _demand_index(facts)
    if kind in ("r", "m") and not facts.key.is_beyond_indexes and _find_index(facts).lacking:
        return _advise_index(facts)
    if not facts.key.is_beyond_indexes and kind != "m":
        return passed(KEY, f"{name_key(facts)} {'has' if len(table.key) == 1 else 'have'} a unique one")
    what = f"none can say that the keys of this {name_kind(kind)} are unique"
    if kind == "m":
        what = f"{name_key(facts)} has a unique one"
    if seen is None:
        return skipped(KEY, f"{what}, and they could not be looked through")
    return passed(KEY, f"{what}; {_count(seen)} rows looked at have each a key of their own")


def name_key(facts: Facts) -> str:
    """The key in words."""
    return ", ".join(facts.table.key_names)


def _find_index(facts: Facts) -> Index:
    """That which begins with the columns of the key, as lists walk through them."""
    return facts.indexes[facts.table.key_names, Use.KEY]


def _count(seen: Seen) -> str:
    return f"all {seen.rows:,}" if seen.is_all else f"{seen.rows:,}"


def _demand_unique(facts: Facts) -> Check:
    relation, table = facts.relation, quote_source(facts.table)
    without = f"has no unique index on {name_key(facts)} alone"
    if relation.kind == "p":
        without = (
            f"has {facts.key.lacking} of its partitions without a unique index on {name_key(facts)} alone"
        )
    # A partitioned table takes no CONCURRENTLY.
    how = "" if relation.kind == "p" else " CONCURRENTLY"
    return failed(
        KEY,
        f"{table} {without}{_name_invalid(facts)}",
        mend=f"Without one {_name_one(facts)} may be there twice, and lists would leave one out. A synced "
        "table that is created anew has one if it is made with a primary key, and loses others. The owner, "
        f"{relation.owner}, runs",
        sql=(f"CREATE UNIQUE INDEX{how} ON {table} ({facts.quoted_key})",),
        remedy=_choose_remedy(facts),
        fault="the key is not unique",
        blocks=Blocks.EVERYTHING,
    )


def _refuse_keys(facts: Facts, settings: Settings, seen: Seen) -> Check:
    kind = name_kind(facts.relation.kind)
    return failed(
        KEY,
        f"of {_count(seen)} rows looked at in {kind} {quote_source(facts.table)}, "
        f"{seen.rows - seen.keys:,} have no {name_key(facts)} and "
        f"{seen.keys - seen.different:,} have one that another row has",
        mend=f"Each {facts.table.one} needs a key of its own: have {facts.relation.owner} change what is "
        f"behind the {kind}, or correct {name_setting(facts.table, settings)}",
        fault="the key is not unique",
        blocks=Blocks.EVERYTHING,
    )


def _demand_index(facts: Facts) -> Check:
    """Of a partitioned table in which an index cannot make the key unique."""
    table = quote_source(facts.table)
    return failed(
        KEY,
        f"{table} has {_find_index(facts).lacking} of its partitions without an index that begins with "
        f"{name_key(facts)}{_name_invalid(facts)}",
        mend="Without one every read goes through the whole partition. The owner, "
        f"{facts.relation.owner}, runs",
        sql=(f"CREATE INDEX ON {table} ({facts.quoted_key})",),
        remedy=_choose_remedy(facts),
        fault="the key has no index",
    )


def _advise_index(facts: Facts) -> Check:
    """Of a table whose unique index has the columns of the key in another order, or only some of them."""
    table = quote_source(facts.table)
    return advised(
        KEY,
        f"{name_key(facts)} are unique, but no index of {table} begins with them in this order"
        f"{_name_invalid(facts)}",
        mend=f"Without one a page of a list may read every row. The owner, {facts.relation.owner}, runs",
        sql=(f"CREATE INDEX CONCURRENTLY ON {table} ({facts.quoted_key})",),
        remedy=_choose_remedy(facts),
    )


def _choose_remedy(facts: Facts) -> Remedy:
    """Whoever sees one that is not valid decides whether to wait for it or to drop it."""
    return Remedy.OTHER if _find_index(facts).invalid else Remedy.INDEX


def _name_one(facts: Facts) -> str:
    article = "an" if facts.table.one[0] in "aeiou" else "a"
    return f"{article} {facts.table.one}"


def _name_invalid(facts: Facts) -> str:
    invalid = ", ".join(_find_index(facts).invalid)
    return f"; {invalid} is not valid: it is being built, or building it failed" if invalid else ""
