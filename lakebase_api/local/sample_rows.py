"""Made-up rows of a declared table: always the same ones of the same declaration."""

import math
from collections.abc import Iterator, Sequence
from random import Random

from lakebase_api.local.sample_values import count_keys, make_key, make_value, show_example
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind
from lakebase_api.table.values import parse_value

Row = tuple[str | None, ...]

# Rows that share the parts of a composite key before a part.
ROWS_A_PART = 4
NULL_SHARE = 0.1


def make_rows(table: Table, wanted: int) -> Iterator[Row]:
    """So many rows, or as many as the types of the key have keys, in the order of the table's columns.

    The first one has the examples of the declaration.
    """
    random = Random(table.name)
    keys = make_keys(table, wanted)
    first = dict(zip(table.key_names, keys[0], strict=True))
    yield tuple(first.get(column.name) or _start_column(column, random) for column in table.columns)
    for key in keys[1:]:
        parts = dict(zip(table.key_names, key, strict=True))
        yield tuple(parts.get(column.name) or _fill_column(column, random) for column in table.columns)


def make_keys(table: Table, wanted: int) -> list[tuple[str, ...]]:
    """The keys of the rows; the first is that of the examples, if the declaration has one for each part."""
    examples = tuple(show_example(column) for column in table.key)
    known = tuple(example for example in examples if example is not None)
    keys = [_spell_alike(table, known)] if len(known) == len(examples) else []
    keys += (_spell_alike(table, key) for key in _count_through(table, wanted))
    return list(dict.fromkeys(keys))[:wanted]


def _count_through(table: Table, wanted: int) -> Iterator[tuple[str, ...]]:
    """Keys as an odometer has them, whose last part is the fastest."""
    first, *others = table.key
    sizes = _choose_sizes(first, others, wanted)
    for number in range(min(wanted, math.prod(sizes))):
        parts = []
        for column, size in zip(reversed(table.key), reversed(sizes), strict=True):
            number, digit = divmod(number, size)
            parts.append(make_key(column, digit))
        yield tuple(reversed(parts))


def _choose_sizes(first: Column, others: Sequence[Column], wanted: int) -> list[int]:
    """How many values each part of the key has: few, but for the first, and where that has not enough."""
    sizes = [count_keys(column, len(column.values) or ROWS_A_PART) for column in others]
    start = count_keys(first, math.ceil(wanted / math.prod(sizes)))
    if others:
        sizes[-1] = max(sizes[-1], count_keys(others[-1], math.ceil(wanted / start / math.prod(sizes[:-1]))))
    return [start, *sizes]


def _spell_alike(table: Table, key: tuple[str, ...]) -> tuple[str, ...]:
    """The key in the one form of all that mean the same."""
    return tuple(
        part if column.type.kind is Kind.TEXT else str(parse_value(column.type, part))
        for column, part in zip(table.key, key, strict=True)
    )


def _start_column(column: Column, random: Random) -> str:
    return show_example(column) or make_value(column, random)


def _fill_column(column: Column, random: Random) -> str | None:
    if column.may_be_null and random.random() < NULL_SHARE:
        return None
    return make_value(column, random)
