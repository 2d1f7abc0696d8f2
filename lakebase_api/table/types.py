"""The types that a column may be declared as, one row each: what they accept, and how SQL knows them.

https://www.postgresql.org/docs/current/datatype.html
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lakebase_api.table.unserved import explain_refusal


class Kind(StrEnum):
    """What values of a type are like, for whoever reads, writes or documents them."""

    INTEGER = "integer"
    NUMERIC = "numeric"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    ENUM = "enum"
    UUID = "uuid"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    JSON = "json"
    BYTES = "bytea"
    ARRAY = "array"


NUMBERS = (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT)
TIMES = (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
KEY_KINDS = (Kind.INTEGER, Kind.TEXT, Kind.UUID, Kind.DATE, Kind.TIMESTAMPTZ)
# Those that PostgreSQL has no usual order of.
UNSORTED_KINDS = (Kind.JSON, Kind.ARRAY, Kind.BYTES)


class UnknownType(ValueError):
    """No column can be served that is declared as this type. The text says why."""


@dataclass(frozen=True, eq=False)
class Type:
    """A type as it is declared.

    ``cast`` is the type that SQL reads a parameter as; where it is empty the column decides. ``family`` are
    the types, as ``regtype`` prints them without a length, that serve as well as the declared one. ``proof``
    is an expression on ``{column}`` that the server only understands for a column of the family. ``element``
    is the type of an array's elements.
    """

    name: str
    kind: Kind
    family: tuple[str, ...]
    proof: str
    cast: str = ""
    bits: int = 0
    length: int | None = None
    element: "Type | None" = None

    @property
    def enum(self) -> "Type | None":
        """The enum that values, or the elements of arrays, are of, if they are."""
        kind = self.element or self
        return kind if kind.kind is Kind.ENUM else None


WHOLE = ("bigint", "integer", "smallint")
CHARACTERS = ("text", "character varying", "character", "name")
FRACTIONS = ("numeric", "double precision", "real", *WHOLE)
# Every type that has a text can be asked ~, but only these have a collation.
IS_CHARACTERS = "{column} COLLATE pg_catalog.\"C\" ~ ''"
# A function with arguments of one type takes others only where PostgreSQL casts them by itself:
# https://www.postgresql.org/docs/current/typeconv-func.html
IS_ELAPSED = "{column} - {column} = pg_catalog.make_interval()"

BUILT_IN: Mapping[str, Type] = {
    known.name: known
    for known in (
        Type("smallint", Kind.INTEGER, (*WHOLE, "numeric"), "pg_catalog.scale({column}) = 0", "bigint", 16),
        Type("integer", Kind.INTEGER, (*WHOLE, "numeric"), "pg_catalog.scale({column}) = 0", "bigint", 32),
        Type("bigint", Kind.INTEGER, (*WHOLE, "numeric"), "pg_catalog.scale({column}) = 0", "bigint", 64),
        Type("numeric", Kind.NUMERIC, FRACTIONS, "pg_catalog.abs({column}) = 0", "numeric"),
        Type("real", Kind.FLOAT, FRACTIONS, "pg_catalog.abs({column}) = 0"),
        Type("double precision", Kind.FLOAT, FRACTIONS, "pg_catalog.abs({column}) = 0"),
        Type("boolean", Kind.BOOLEAN, ("boolean",), "pg_catalog.booleq({column}, {column})", "boolean"),
        Type("text", Kind.TEXT, CHARACTERS, IS_CHARACTERS),
        Type("character varying", Kind.TEXT, CHARACTERS, IS_CHARACTERS),
        # With this cast several values are compared without the blanks at their ends, as one is.
        Type("character", Kind.TEXT, CHARACTERS, IS_CHARACTERS, "bpchar"),
        Type("uuid", Kind.UUID, ("uuid",), "pg_catalog.uuid_eq({column}, {column})", "uuid"),
        Type("date", Kind.DATE, ("date",), "pg_catalog.date_eq({column}, {column})", "date"),
        Type(
            "time without time zone",
            Kind.TIME,
            ("time without time zone",),
            f"pg_catalog.time_eq({{column}}, {{column}}) AND {IS_ELAPSED}",
            "time",
        ),
        Type(
            "timestamp without time zone",
            Kind.TIMESTAMP,
            ("timestamp without time zone",),
            f"pg_catalog.timestamp_eq({{column}}, {{column}}) AND {IS_ELAPSED}",
            "timestamp",
        ),
        Type(
            "timestamp with time zone",
            Kind.TIMESTAMPTZ,
            ("timestamp with time zone",),
            "pg_catalog.timestamp_eq({column} AT TIME ZONE 'UTC', {column} AT TIME ZONE 'UTC') "
            f"AND {IS_ELAPSED}",
            "timestamptz",
        ),
        Type("jsonb", Kind.JSON, ("jsonb",), "pg_catalog.jsonb_eq({column}, {column})", "jsonb"),
        Type("json", Kind.JSON, ("json",), "pg_catalog.json_typeof({column}) = ''", "json"),
        Type("bytea", Kind.BYTES, ("bytea",), "pg_catalog.byteaeq({column}, {column})", "bytea"),
    )
}
# As people write them, and as PostgreSQL prints them.
ALIASES = {
    "int2": "smallint",
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "decimal": "numeric",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "char": "character",
    "bpchar": "character",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
# A key's own type must hold no value that a bigint does not.
KEY_INTEGER_PROOF = "{column} & 1 = 0"

WRITTEN = re.compile(
    r"(?P<name>[a-z][a-z0-9 ]*?)\s*(\((?P<modifier>\d+(\s*,\s*-?\d+)?)\))?(?P<zone> with(out)? time zone)?"
)
IDENTIFIER = r'(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")'
ENUM_NAME = re.compile(rf"{IDENTIFIER}(\.{IDENTIFIER})?")


def find_type(text: str, *, is_enum: bool = False) -> Type:
    """The type of that name, as PostgreSQL prints or reads it: ``numeric(18,2)``, ``text[]``, ``int8``.

    ``is_enum``: what is not built in is an enum of that name. Raises ``UnknownType``.
    """
    text = " ".join(text.split())
    text = text if '"' in text else text.lower()
    if text.endswith("[]"):
        return _find_array(text, is_enum=is_enum)
    written = WRITTEN.fullmatch(text)
    name = f"{written['name']}{written['zone'] or ''}" if written else text
    built_in = BUILT_IN.get(ALIASES.get(name, name))
    if built_in and written:
        return _with_modifier(built_in, text, written["modifier"])
    if (refusal := explain_refusal(text)) is not None:
        raise UnknownType(refusal)
    if is_enum and ENUM_NAME.fullmatch(text):
        # The name is part of a text that is still to be formatted.
        escaped = text.replace("{", "{{").replace("}", "}}")
        # Unlike a function for any enum, it takes a domain too.
        proof = f"coalesce({{column}}, NULL::{escaped}) IS NULL"
        return Type(text, Kind.ENUM, (text,), proof, cast=text)
    raise UnknownType(_explain_unknown(text))


def has_other_numbers(declared: Type, actual: str) -> bool:
    """Whether a column of a family type may have numbers that are none of the declared whole numbers."""
    declared, other = declared.element or declared, BUILT_IN.get(actual.removesuffix("[]"))
    if declared.kind is not Kind.INTEGER or other is None:
        return False
    return other.kind is not Kind.INTEGER or other.bits > declared.bits


def _with_modifier(built_in: Type, text: str, modifier: str | None) -> Type:
    length = None
    if built_in.kind is Kind.TEXT and built_in.name != "text":
        length = int(modifier) if modifier else (1 if built_in.name == "character" else None)
    elif modifier and built_in.kind is not Kind.NUMERIC and built_in.kind not in TIMES:
        raise UnknownType(f"{built_in.name} has no length.")
    return Type(
        text, built_in.kind, built_in.family, built_in.proof, built_in.cast, built_in.bits, length=length
    )


def _find_array(text: str, *, is_enum: bool) -> Type:
    element = find_type(text.removesuffix("[]"), is_enum=is_enum)
    if element.kind in (Kind.ARRAY, Kind.JSON):
        raise UnknownType("only arrays of single values are served; a view has others by to_jsonb(…).")
    # An array of another element is another type; its elements are known by their own proof. Other types have
    # elements too, such as the numbers of a point.
    proof = element.proof.replace("{column}", "({column})[1]") + " AND pg_catalog.cardinality({column}) = 0"
    families = tuple(f"{name}[]" for name in element.family)
    cast = f"{element.cast or 'text'}[]"
    return Type(text, Kind.ARRAY, families, proof, cast, element=element)


def _explain_unknown(text: str) -> str:
    close = difflib.get_close_matches(text, [*BUILT_IN, *ALIASES], 1)
    meant = f"; did you mean `{close[0]}`?" if close else "."
    return (
        f"{text} is not known{meant} An enum has its `values` beside it, a domain the name of the type below."
    )
