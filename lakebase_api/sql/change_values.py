"""How the values of a change, and parts made of several, are written in its statement."""

from collections.abc import Iterable, Mapping

from psycopg import sql

from lakebase_api.sql.overlay_names import spell_storage_type
from lakebase_api.table.types import Type

# PostgreSQL gives a function 100 arguments at the most.
MAX_PAIRS = 50


def spell_text(kind: Type, value: sql.Composable) -> sql.Composable:
    """A value as PostgreSQL prints it; a cast of `character` would take away its blanks."""
    is_padded = spell_storage_type(kind) == sql.SQL("bpchar")
    return sql.SQL("to_jsonb({}) #>> '{{}}'" if is_padded else "{}::text").format(value)


def build_object(values: Mapping[str, sql.Composable]) -> sql.Composable:
    """A JSON object."""
    parts = [sql.SQL("{}, {}").format(sql.Literal(name), value) for name, value in values.items()]
    objects = (
        sql.SQL("jsonb_build_object({})").format(join(parts[at : at + MAX_PAIRS]))
        for at in range(0, len(parts), MAX_PAIRS)
    )
    return sql.SQL(" || ").join(objects)


def name_value(letter: str, number: int) -> sql.SQL:
    """The name of a value in an item, such as ``w0``."""
    return sql.SQL(f"{letter}{number}")


def join(parts: Iterable[sql.Composable]) -> sql.Composable:
    """The parts with commas between them."""
    return sql.SQL(", ").join(parts)
