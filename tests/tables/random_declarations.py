"""Declarations at random: names, types, keys, filters and changes that may come together."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from lakebase_api.table.types import NUMBERS, TIMES, Kind, find_type

KEY_TYPES = ("smallint", "integer", "bigint", "text", "varchar(12)", "uuid", "date", "timestamptz")
SCALARS = (
    *("smallint", "integer", "bigint", "numeric", "numeric(9,3)", "numeric(4,0)", "real", "double precision"),
    *("boolean", "text", "varchar(7)", "char(4)", "uuid", "date", "timestamptz", "timestamp", "time"),
)
ENUM = "odd.level"
OTHERS = ("jsonb", "json", "bytea", *(f"{name}[]" for name in SCALARS if name != "char(4)"), f"{ENUM}[]")
LEVELS = ["low", "it's", 'so "high"']
# Names that SQL, or what composes it, takes for something else where they are not quoted.
KEY_NAMES = ("a", "b_1", "select", "order", "user", "t", "s", "d", "k", "n", "row", "value", "id", "Mixed")
NAMES = ("two words", "größe", "per%cent", "%s", "{x}", "$1", "total", "a'b", "etag_")
TABLE_NAMES = ("things", "orders_of_mine", "x", "order-lines")
SOURCES = ("public.things", 'odd."Things"', '"Odd schema"."two words"', 'odd."per%cent{x}"')


@st.composite
def declarations(draw: st.DrawFn) -> str:
    """The text of a file that declares one table."""
    key_types = draw(st.lists(st.sampled_from(KEY_TYPES), min_size=1, max_size=3))
    others = draw(st.lists(st.sampled_from((*SCALARS, ENUM, *OTHERS)), min_size=1, max_size=6))
    key = draw(st.permutations(KEY_NAMES))[: len(key_types)]
    names = [name for name in draw(st.permutations((*KEY_NAMES, *NAMES))) if name not in key]
    columns = [(name, _draw_key_column(draw, kind)) for name, kind in zip(key, key_types, strict=True)]
    columns += [
        (name, _draw_column(draw, kind, number))
        for number, (name, kind) in enumerate(zip(names, others, strict=False))
    ]
    declared = {
        "source": draw(st.sampled_from(SOURCES)),
        "key": key,
        "one": "thing",
        "writes": draw(st.sampled_from(("overlay", "overlay", "direct", "off"))),
    }
    return spell_declaration(draw(st.sampled_from(TABLE_NAMES)), declared, draw(st.permutations(columns)))


def spell_declaration(
    name: str, declared: dict[str, Any], columns: Sequence[tuple[str, dict[str, Any]]]
) -> str:
    """The declaration in TOML."""
    lines = [f"[{name}]", *(f"{key} = {_spell(value)}" for key, value in declared.items())]
    lines += [f"[{name}.columns]", *(f"{_spell(column)} = {_spell(value)}" for column, value in columns)]
    return "\n".join(lines) + "\n"


def _draw_key_column(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    return {"type": kind} | _draw_filters(draw, kind, may_be_null=False)


def _draw_column(draw: st.DrawFn, kind: str, number: int) -> dict[str, Any]:
    may_be_null = draw(st.booleans())
    column: dict[str, Any] = {"type": kind}
    if kind.startswith(ENUM):
        column["values"] = LEVELS
    if may_be_null:
        column["null"] = True
    known = find_type(kind, is_enum=True)
    column |= _draw_filters(draw, kind, may_be_null=may_be_null)
    if known.kind in NUMBERS and draw(st.booleans()):
        column["as"] = "string"
    if kind in (*SCALARS, ENUM) and draw(st.booleans()):
        column["change"] = {"path": f"change-{number}"}
    return column


def _draw_filters(draw: st.DrawFn, kind: str, *, may_be_null: bool) -> dict[str, Any]:
    known = find_type(kind, is_enum=True)
    fitting = ["null"] if may_be_null else []
    if known.kind not in (Kind.FLOAT, Kind.JSON, Kind.BYTES, Kind.ARRAY):
        fitting.append("any")
    if known.kind in (*NUMBERS, *TIMES):
        fitting.append("range")
    if known.kind is Kind.TEXT:
        fitting.append("prefix")
    if known.name == "jsonb" or (known.element and known.element.kind is not Kind.FLOAT):
        fitting.append("contains")
    chosen = [name for name in fitting if draw(st.booleans())]
    return {"filter": chosen} if chosen else {}


def _spell(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_spell(name)} = {_spell(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_spell, value)) + "]"
    # A text of JSON is one of TOML.
    return json.dumps(value)
