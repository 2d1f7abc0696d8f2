"""Reads the file of declared tables, and reports all mistakes at once, each with its line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lakebase_api.settings import Settings
from lakebase_api.table.collisions import refuse_same_one
from lakebase_api.table.declaration import Column, Table, Writes
from lakebase_api.table.declared_table import read_table
from lakebase_api.table.mistakes import Mistakes, Section, TablesError
from lakebase_api.table.toml_file import parse_toml, read_file
from lakebase_api.table.toml_lines import find_lines

# The table that settings say more of: they were there before there were other tables.
FIRST = "orders"
# The change that STATUS_TRANSITIONS is about.
STATUS_PATH = "status"
HOW_TO_BEGIN = (
    " python -m lakebase_api introspect writes what it declares, and python -m lakebase_api new a folder "
    "with one."
)


def load_tables(settings: Settings) -> tuple[Table, ...]:
    """The tables of ``TABLES_FILE``, with what the settings say of orders, which wins.

    Raises ``TablesError`` naming every mistake by its line.
    """
    text = read_file(settings.tables_file, "TABLES_FILE", TablesError, HOW_TO_BEGIN)
    tables, mistakes = read_tables(text, settings.tables_file, is_open=settings.anonymous is not None)
    if mistakes:
        raise TablesError(mistakes)
    return tuple(_apply(settings, table) if table.name == FIRST else table for table in tables)


def read_tables(text: str, file: str, *, is_open: bool = True) -> tuple[tuple[Table, ...], list[str]]:
    """The tables that a text declares, and what is wrong with it; ``file`` is what mistakes call it.

    ``is_open``: callers whom nobody knows may read.
    """
    try:
        content = parse_toml(text, file)
    except ValueError as error:
        return (), [str(error)]
    mistakes = Mistakes(file, find_lines(text))
    tables = []
    for name, declared in content.items():
        if isinstance(declared, dict):
            tables.append(read_table(Section(declared, (name,), mistakes)))
        else:
            mistakes.add((name,), "must be a table, as [customers] begins one.")
    refuse_same_one(mistakes, tables)
    if not is_open:
        _refuse_public(mistakes, tables)
    if not content:
        mistakes.add((), "declares no table; python -m lakebase_api introspect writes a declaration.")
    return tuple(tables), mistakes.spell()


def _refuse_public(mistakes: Mistakes, tables: Sequence[Table]) -> None:
    for table in tables:
        if table.is_public:
            says = "needs ANONYMOUS=read or all: whoever keeps a public answer gives it to anybody."
            mistakes.add((table.name, "public"), says)


def find_settings_of_orders(settings: Settings, tables: Sequence[Table]) -> Iterator[str]:
    """What the log should warn of: settings of orders that do not do what they seem to."""
    given = {
        "DEFAULT_POSTGRES_SCHEMA": settings.orders_schema,
        "DEFAULT_POSTGRES_TABLE": settings.orders_table,
        "STATUS_WRITES": settings.orders_writes,
        "STATUS_TRANSITIONS": settings.status_transitions,
        "SYNCED_TABLE": settings.synced_table,
    }
    if FIRST not in [table.name for table in tables]:
        yield from (f"{name} is of {FIRST}, which is not declared" for name, value in given.items() if value)
    if settings.orders_writes == Writes.OFF:
        others = [
            table.name
            for table in tables
            if table.changeable and table.writes is not Writes.OFF and table.name != FIRST
        ]
        if others:
            yield f"STATUS_WRITES=off is of {FIRST} alone: {', '.join(others)} may be changed"


def _apply(settings: Settings, table: Table) -> Table:
    """Orders, as the settings have them."""
    return replace(
        table,
        schema=settings.orders_schema or table.schema,
        source=settings.orders_table or table.source,
        writes=Writes(settings.orders_writes or table.writes),
        synced_table=settings.synced_table or table.synced_table,
        columns=tuple(_apply_transitions(settings, column) for column in table.columns),
    )


def _apply_transitions(settings: Settings, column: Column) -> Column:
    pairs = tuple((old, new) for old, new in (pair.split(">") for pair in settings.status_transitions))
    if not pairs or column.change is None or column.change.path != STATUS_PATH:
        return column
    return replace(column, change=replace(column.change, transitions=pairs))
