"""Which changes of a value the declared transitions allow, as the statement that changes rows has it."""

from collections.abc import Sequence

from psycopg import sql

from lakebase_api.sql.change_values import name_value
from lakebase_api.table.declaration import Column

# What transitions call NULL.
NULL = "null"


def compose_illegal(columns: Sequence[Column]) -> sql.Composable:
    """The name of the first of the columns that may not change to what is wanted, or NULL."""
    cases = [
        _compose_case(n, column, column.change.transitions)
        for n, column in enumerate(columns)
        if column.change and column.change.transitions
    ]
    return sql.SQL("CASE {} END").format(sql.SQL(" ").join(cases)) if cases else sql.SQL("NULL::text")


def _compose_case(n: int, column: Column, transitions: Sequence[tuple[str, str]]) -> sql.Composable:
    """NULL may change to anything unless the transitions say what to."""
    is_said = any(before == NULL for before, _ in transitions)
    return sql.SQL(
        "WHEN {now} IS DISTINCT FROM {wanted} AND ({now} IS NOT NULL OR {is_said}) "
        "AND coalesce({now}::text, {null}) || '>' || coalesce({wanted}::text, {null}) <> ALL ({pairs}) "
        "THEN {name}"
    ).format(
        now=name_value("o", n),
        wanted=name_value("w", n),
        null=sql.Literal(NULL),
        is_said=sql.Literal(is_said),
        pairs=sql.SQL("{}::text[]").format(sql.Literal([">".join(pair) for pair in transitions])),
        name=sql.Literal(column.name),
    )
