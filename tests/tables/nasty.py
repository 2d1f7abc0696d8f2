"""Values of each type that are hard to read, to order or to show, as the texts that PostgreSQL reads."""

import uuid
from collections.abc import Iterator
from itertools import product
from random import Random

from lakebase_api.local.sample_values import MODIFIER, make_key, spell_array
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import Kind, Type

TEXTS = [
    *("", " ", "a", "A", "b", "a,b", 'a "quoted" b', '"', "two\nlines", "two\r\nlines", "\\.", "\\n", "\\N"),
    *("tab\tand\bmore\f", "\x01\x02\x1f\x7f", "a/b</script>", "\u2028\u2029", "é😀", "Łódź – 5 €", "=1+1"),
    *(
        "+1",
        "-1",
        "@sum",
        "'=1",
        "%_\\",
        "NULL",
        "null",
        "NaN",
        "infinity",
        "{}",
        "[]",
        "0",
        "1",
        "trailing  ",
    ),
]
TEXT_KEYS = ["count", "sample", "pages", "stream", "export", "a/b", "?", "#", "%2F", "a b", "+", ".x", "~"]
DATES = [
    "-infinity",
    "4714-11-24 BC",
    "0044-03-15 BC",
    "0001-01-01",
    "1996-01-02",
    "1996-02-29",
    "9999-12-31",
]
FAR_DATES = ["10000-01-01", "5874897-12-31", "infinity"]
TIMES = ["00:00:00", "12:34:56.7", "12:34:56.123456", "23:59:59.999999", "24:00:00"]
TIMESTAMPS = ["-infinity", "0044-03-15 12:00:00 BC", "0001-01-01 00:00:00", "1883-11-18 12:03:57.12"]
TIMESTAMPS += ["2026-03-29 01:30:00", "2026-03-29 01:30:00.000001", "9999-12-31 23:59:59.999999"]
TIMESTAMPS += ["294276-12-31 23:59:59", "infinity"]
JSONS = [
    "{}",
    "[]",
    "null",
    "false",
    '"text"',
    '"é \\u2028 \\"q\\""',
    "1.10",
    "12345678901234567890.123456789",
]
JSONS += ['{"a": 1.10, "b": [true, null, {"c": ""}]}', '{"b": 1, "a": 1e5}', "[1, 2]"]
# What `jsonb` forgets.
PLAIN_JSONS = ['{"a":1,  "a":2}', '{\n  "a": "x",\r\n\t"b": []\n}', "1e400"]
BYTES = ["\\x", "\\x00ff", "\\x27222c0a5c", "\\x6162"]
FLOATS = ["0", "-0", "0.1", "-1.5", "1e-30", "1e30", "1e15", "123456.79", "NaN", "Infinity", "-Infinity"]
DOUBLES = ["0.30000000000000004", "5e-324", "1.7976931348623157e308", "9007199254740993"]
NUMERICS = ["0", "-0.01", "1.10", "1.1", "12345678901234567890123456789.0123456789", "1e-20", "NaN"]
NUMERICS += ["Infinity", "-Infinity"]
UUIDS = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
UUIDS += [str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))) for number in range(5)]


def list_values(column: Column) -> list[str]:
    """Values that the column can hold; those declared, where it has some."""
    if column.type.kind is Kind.ARRAY and column.values:
        return _list_arrays(list(column.values))
    return list(column.values) if column.values else _list_values(column.type)


def list_keys(column: Column) -> list[str]:
    """Values of a column of a key, no two alike."""
    if column.values:
        return list(column.values)
    nasty = [*TEXT_KEYS, *_list_values(column.type)] if column.type.kind is Kind.TEXT else []
    nasty = [text[: column.type.length].rstrip() for text in nasty] or _list_values(column.type)
    # As many others, so that lists have pages.
    ordinary = [make_key(column, 100 + number) for number in range(30)]
    return list(dict.fromkeys([*nasty, *ordinary]))


def make_nasty_rows(table: Table, seed: int = 0) -> Iterator[tuple[str | None, ...]]:
    """Rows whose columns have each such value at least once, and NULL where it may be."""
    random = Random(f"{table.name} {seed}")
    pools = {column.name: _make_pool(column, random) for column in table.columns}
    keys = _list_row_keys(table, max(map(len, pools.values())), random)
    for number, key in enumerate(keys):
        parts = dict(zip(table.key_names, key, strict=True))
        yield tuple(
            parts[name] if name in parts else pools[name][number % len(pools[name])] for name in table.names
        )


def _make_pool(column: Column, random: Random) -> list[str | None]:
    """The values, in an order of their own, some of them twice so that rows tie."""
    pool: list[str | None] = [*list_values(column)]
    pool += [None] * (1 + len(pool) // 5) if column.may_be_null else []
    random.shuffle(pool)
    return pool


def _list_row_keys(table: Table, wanted: int, random: Random) -> list[tuple[str, ...]]:
    parts = [list_keys(column) for column in table.key]
    if len(parts) == 1:
        return [(part,) for part in parts[0]]
    # Of each part few, with all of them crossed: rows that share a part lie beside each other.
    few = [random.sample(part, min(len(part), 4 if at else 12)) for at, part in enumerate(parts)]
    return sorted(product(*few))[: max(wanted, 40)]


def _list_values(kind: Type) -> list[str]:
    match kind.kind:
        case Kind.INTEGER:
            greatest = 2 ** (kind.bits - 1) - 1
            far = ["9007199254740992", "9007199254740993"] if kind.bits == 64 else []
            return [*map(str, (-greatest - 1, -7, -1, 0, 1, 2, 3, 10, 99, greatest)), *far]
        case Kind.NUMERIC:
            return _list_numerics(kind)
        case Kind.FLOAT:
            return FLOATS + (DOUBLES if kind.name in ("double precision", "float8") else [])
        case Kind.TEXT:
            return list(dict.fromkeys(text[: kind.length] for text in TEXTS))
        case Kind.JSON:
            return JSONS + (PLAIN_JSONS if kind.name == "json" else [])
        case Kind.TIMESTAMPTZ:
            return [_add_zone(text) for text in TIMESTAMPS]
        case Kind.ARRAY:
            assert kind.element is not None
            return _list_arrays(_list_values(kind.element))
    return VALUES[kind.kind]


VALUES = {
    Kind.BOOLEAN: ["true", "false"],
    Kind.UUID: UUIDS,
    Kind.DATE: DATES + FAR_DATES,
    Kind.TIME: TIMES,
    Kind.TIMESTAMP: TIMESTAMPS,
    Kind.BYTES: BYTES,
}


def _list_numerics(kind: Type) -> list[str]:
    modifier = MODIFIER.search(kind.name)
    if not modifier:
        return NUMERICS
    precision, scale = int(modifier[1]), int(modifier[2] or 0)
    whole = "9" * (precision - scale) or "0"
    return ["0", "NaN", whole, f"-{whole}", *(f"0.{'0' * (scale - 1)}{digit}" for digit in "19" if scale)]


def _list_arrays(elements: list[str]) -> list[str]:
    pairs = [spell_array(elements[at : at + 2]) for at in range(len(elements))]
    first, second = spell_array(elements[:1])[1:-1], spell_array(elements[1:2])[1:-1]
    return [
        "{}",
        "{NULL}",
        f"{{{{{first},{second}}},{{{second},NULL}}}}",
        f"[3:4]={{{first},{second}}}",
        *pairs,
    ]


def _add_zone(timestamp: str) -> str:
    if timestamp.endswith("infinity"):
        return timestamp
    return timestamp.replace(" BC", "+00 BC") if " BC" in timestamp else f"{timestamp}+00"
