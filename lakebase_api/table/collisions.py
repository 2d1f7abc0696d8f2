"""Finds names of a declared table that would mean two things."""

from collections.abc import Iterable, Iterator, Sequence

from lakebase_api.table.declaration import Column, Filter, Table
from lakebase_api.table.mistakes import Mistakes, Section

# What every table's operations take in a query.
PARAMETERS = (
    "accuracy",
    "atomic",
    "bom",
    "cursor",
    "fields",
    "format",
    "great_integers",
    "header",
    "include_count",
    "keys",
    "page",
    "page_size",
    "quote_formulas",
    "shown",
    "sort",
    "trailer",
)
OWN_PREFIX = "_"
# What stands in a path where a key or the path of a change would.
SEGMENTS = ("count", "sample", "pages", "stream", "export", "history", "freshness")


def refuse_collisions(section: Section, table: Table) -> None:
    """Note the names of columns and paths that are taken, or that two have."""
    _refuse_parameters(section, table.columns)
    if table.changeable:
        _refuse_paths(section, table.changeable)
        _refuse_own_prefix(section, table)


def refuse_same_one(mistakes: Mistakes, tables: Iterable[Table]) -> None:
    """Note that two tables call their rows the same, which names of operations and problems are made of."""
    seen: dict[str, str] = {}
    for table in tables:
        # Words are joined in the names of schemas.
        first = seen.setdefault(table.one.replace("_", ""), table.name)
        if first != table.name:
            mistakes.add((table.name, "one"), f"{table.one} is what a row of {first} is called; say another.")


def _refuse_parameters(section: Section, columns: Sequence[Column]) -> None:
    owners: dict[str, str] = {}
    for column in columns:
        for name in _name_parameters(column):
            if name in PARAMETERS:
                says = f"{name} is a parameter of its own; leave the filter out, or rename it in a view."
                section.refuse(says, "columns", column.name, "filter")
            elif (other := owners.setdefault(name, column.name)) != column.name:
                says = f"{name} is a parameter of {other} too; leave one filter out, or rename it in a view."
                section.refuse(says, "columns", column.name, "filter")


def _name_parameters(column: Column) -> Iterator[str]:
    for asked in column.filters:
        if asked is Filter.ANY:
            yield column.name
        elif asked is Filter.RANGE:
            yield from column.range_names
        else:
            yield f"{column.name}_{asked}"


def _refuse_paths(section: Section, columns: Sequence[Column]) -> None:
    owners: dict[str, str] = {}
    for column in columns:
        path = column.change.path if column.change else ""
        at = ("columns", column.name, "change", "path")
        if path in SEGMENTS:
            section.refuse(f"{path} is taken; give it another.", *at)
        elif path and (other := owners.setdefault(path, column.name)) != column.name:
            section.refuse(f"{path} is where {other} is changed; give it another.", *at)


def _refuse_own_prefix(section: Section, table: Table) -> None:
    """What stands beside these columns, in tables of changes and in documents, begins with it."""
    for column in (*table.key, *table.changeable):
        if column.name.startswith(OWN_PREFIX):
            what = "is changed" if column.change else "is of the key of a table with changes"
            says = f"{what}, and so cannot begin with {OWN_PREFIX}; rename it in a view."
            section.refuse(says, "columns", column.name)
